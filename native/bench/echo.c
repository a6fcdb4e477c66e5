/*
 * How long an answer takes.
 *
 *   echo server PORT                                gives back what comes, on any number of TCP connections, until its standard input ends
 *   echo client ADDRESS PORT SECONDS EVERY_US       one byte there and back, again and again, on one TCP connection; the next is sent
 *                                                   EVERY_US after the one before (0: as soon as that is back)
 *
 * The client prints {"count":N,"p50":US,"p99":US,"p999":US,"most":US}; times are those between send() and the return of recv().
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include "bench.h"

#define SAMPLES_MOST (1u << 22)
#define EVENTS 64

static uint32_t samples[SAMPLES_MOST]; /* ns, at most 4 s */

static void echo_back(int fd) {
  uint8_t bytes[4096];
  const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || send(fd, bytes, (size_t)got, MSG_NOSIGNAL) < 0) close(fd);
}

static int serve(const char *port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
  if (fd < 0 || poller < 0) die("socket");
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  const struct sockaddr_in own = place("0.0.0.0", port);
  if (bind(fd, (const struct sockaddr *)&own, sizeof own) != 0 || listen(fd, 1024) != 0) die(port);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd}, input = {.events = EPOLLIN, .data.fd = 0}, events[EVENTS];
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0 || epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input) != 0) die("epoll_ctl");
  say_ready();
  for (;;) {
    const int ready = epoll_wait(poller, events, EVENTS, -1);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < ready; i++) {
      if (events[i].data.fd == 0) return 0;
      if (events[i].data.fd != fd) {
        echo_back(events[i].data.fd);
        continue;
      }
      const int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
      if (client < 0) continue;
      set(client, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
      event.data.fd = client;
      if (epoll_ctl(poller, EPOLL_CTL_ADD, client, &event) != 0) die("epoll_ctl");
    }
  }
}

static int by_value(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double share(uint32_t count, double part) {
  const uint32_t at = (uint32_t)(part * count);
  return (double)samples[at < count ? at : count - 1] / 1000;
}

static int ask(const char *address, const char *port, double seconds, uint64_t every_ns) {
  const struct sockaddr_in to = place(address, port);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  const struct timeval patience = {.tv_sec = 3};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) die("SO_RCVTIMEO");
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0) die("SO_SNDTIMEO");
  if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) die(address);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  sleep_exactly();
  uint64_t time = now(), due = time;
  const uint64_t end = time + (uint64_t)(seconds * 1e9);
  uint32_t count = 0;
  while (time < end && count < SAMPLES_MOST) {
    uint8_t byte = 'x';
    const uint64_t sent = now();
    if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1) die("no answer");
    time = now();
    samples[count++] = time - sent > UINT32_MAX ? UINT32_MAX : (uint32_t)(time - sent);
    due += every_ns;
    if (due < time) due = time;
    const struct timespec until = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)};
    if (due > time) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
  qsort(samples, count, sizeof *samples, by_value);
  printf("{\"count\":%u,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"most\":%.1f}\n", count, share(count, 0.5), share(count, 0.99), share(count, 0.999),
         share(count, 1));
  return 0;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "server") == 0) return serve(arguments[2]);
  if (count == 6 && strcmp(arguments[1], "client") == 0) return ask(arguments[2], arguments[3], atof(arguments[4]), (uint64_t)(atof(arguments[5]) * 1000));
  usage("echo server PORT, or echo client ADDRESS PORT SECONDS EVERY_US");
}
