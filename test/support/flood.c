/*
 * Sends small UDP datagrams as fast as it can: flood ADDRESS PORT SECONDS. From 16 source ports, 64 datagrams a system call.
 * Ends after so many seconds (at most 30) whatever happens; prints how many the kernel took.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS 16
#define BATCH 64

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_to(const char *text, int port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  const int is4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
  if (!is4 && inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) return -1;
  const int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  if (fd < 0) return -1;
  return connect(fd, is4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, is4 ? sizeof v4 : sizeof v6) == 0 ? fd : -1;
}

int main(int count, char **arguments) {
  static char payload[22];
  static struct iovec part = {payload, sizeof payload};
  static struct mmsghdr messages[BATCH];
  int fds[SOCKETS];
  if (count != 4) return 2;
  for (int i = 0; i < BATCH; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
  for (int i = 0; i < SOCKETS; i++) {
    if ((fds[i] = open_to(arguments[1], atoi(arguments[2]))) < 0) {
      perror(arguments[1]);
      return 1;
    }
  }
  const double seconds = atof(arguments[3]);
  const double end = now() + (seconds < 30 ? seconds : 30);
  unsigned long long sent = 0;
  alarm(40);
  while (now() < end) {
    for (int i = 0; i < SOCKETS; i++) {
      const int taken = sendmmsg(fds[i], messages, BATCH, 0);
      if (taken > 0) sent += (unsigned)taken;
    }
  }
  printf("%llu\n", sent);
  return 0;
}
