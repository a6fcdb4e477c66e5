/*
 * Numbered UDP datagrams at an even pace, and how many of them came:
 *
 *   numbered send ADDRESS PORT PER_SECOND     from 64 source ports in turn, until standard input ends; prints "SENT SECONDS"
 *   numbered receive ADDRESS PORT             until standard input ends; prints "ready", then "DISTINCT AGAIN DROPPED": datagrams with
 *                                             different numbers, with one that came before, without room in the socket
 *
 * Both end after 2 minutes whatever happens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS 64
#define BATCH 64
/* Datagrams that a sender who got no processor for a while catches up with at once; beyond them it is late for good. */
#define BEHIND_MOST 400
#define NUMBERS (1u << 24)

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int asked_to_end(void) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  return poll(&input, 1, 0) != 0;
}

/* A socket for an address, connected to it or bound to it. */
static int open_socket(const char *text, int port, int (*attach)(int, const struct sockaddr *, socklen_t)) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  const int is4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
  if (!is4 && inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) return -1;
  const int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  if (fd < 0) return -1;
  return attach(fd, is4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, is4 ? sizeof v4 : sizeof v6) == 0 ? fd : -1;
}

static int send_all(const char *address, int port, double per_second) {
  int fds[SOCKETS];
  for (int i = 0; i < SOCKETS; i++) {
    if ((fds[i] = open_socket(address, port, connect)) < 0) return 1;
  }
  const double begun = now();
  double since = begun;
  uint32_t sent = 0, before = 0;
  while (!asked_to_end() && sent < NUMBERS) {
    double due = (now() - since) * per_second - (double)(sent - before);
    if (due > BEHIND_MOST) {
      due = BEHIND_MOST;
      since = now() - BEHIND_MOST / per_second;
      before = sent;
    }
    for (; due >= 1 && sent < NUMBERS; due--) {
      const uint32_t payload[6] = {sent};
      /* What the kernel does not take has no number. An ICMP error for an earlier one is reported here, and is no refusal. */
      int tries = 0;
      while (send(fds[sent % SOCKETS], payload, sizeof payload, 0) < 0) {
        if (++tries > 100) return 1;
        if (errno != ECONNREFUSED && errno != EHOSTUNREACH) usleep(100);
      }
      sent++;
    }
    usleep(500);
  }
  printf("%u %.3f\n", sent, now() - begun);
  return 0;
}

static int receive_all(const char *address, int port) {
  static uint8_t seen[NUMBERS / 8];
  static uint32_t payloads[BATCH][6];
  static struct iovec parts[BATCH];
  static struct mmsghdr messages[BATCH];
  const int fd = open_socket(address, port, bind), room = 64 << 20;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) return 1;
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){payloads[i], sizeof payloads[i]};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  printf("ready\n");
  fflush(stdout);
  unsigned distinct = 0, again = 0;
  for (;;) {
    struct pollfd both[] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    if (poll(both, 2, -1) < 0) return 1;
    if (both[0].revents == 0 && both[1].revents != 0) break;
    const int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
      const uint32_t number = payloads[i][0] % NUMBERS;
      const uint8_t bit = (uint8_t)(1u << (number & 7));
      if (seen[number >> 3] & bit) again++;
      else distinct++;
      seen[number >> 3] |= bit;
    }
  }
  uint32_t memory[SK_MEMINFO_VARS] = {0};
  socklen_t length = sizeof memory;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) != 0) return 1;
  printf("%u %u %u\n", distinct, again, memory[SK_MEMINFO_DROPS]);
  return 0;
}

int main(int count, char **arguments) {
  alarm(120);
  int failed = 2;
  if (count == 5 && strcmp(arguments[1], "send") == 0) failed = send_all(arguments[2], atoi(arguments[3]), atof(arguments[4]));
  if (count == 4 && strcmp(arguments[1], "receive") == 0) failed = receive_all(arguments[2], atoi(arguments[3]));
  if (failed == 1) perror(arguments[2]);
  return failed;
}
