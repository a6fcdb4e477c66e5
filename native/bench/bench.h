/* What the programs of the benchmark share. Each is one file and this, compiled by `hafl bench lab` on first use. */
#ifndef HAFL_BENCH_H
#define HAFL_BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

/* What a small packet carries behind its TCP header, in the sender's byte order: the whole lab is one machine. */
struct mark {
  uint32_t flow;   /* from 0 */
  uint32_t number; /* of its flow, from 0 */
};

static inline _Noreturn void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline _Noreturn void usage(const char *text) {
  fprintf(stderr, "usage: %s\n", text);
  exit(2);
}

/* Nanoseconds of the monotonic clock. */
static inline uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void set(int fd, int level, int option, int value, const char *what) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) die(what);
}

static inline struct sockaddr_in place(const char *address, const char *port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) {
    errno = EINVAL;
    die(address);
  }
  return to;
}

/* Sleeps are not rounded up to the 50 us that the kernel allows itself. */
static inline void sleep_exactly(void) {
  if (prctl(PR_SET_TIMERSLACK, 1ul) != 0) die("prctl");
}

/* Whoever started us has closed our standard input, or has ended. */
static inline int asked_to_end(void) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  return poll(&input, 1, 0) != 0;
}

static inline void say_ready(void) {
  puts("ready");
  fflush(stdout);
}

#endif
