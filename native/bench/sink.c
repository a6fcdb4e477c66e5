/*
 * The end of the way of small packets: a UDP socket that receives GUE, counts, and looks at the numbers.
 *
 *   sink PORT MOST_SECONDS
 *
 * It stands where a target's socket would, so that a director alone is measured. Trains come whole (UDP_GRO). Packets are those of
 * `generate`: of each flow the numbers must rise. Prints "ready"; then, when its standard input has ended and nothing has come for a
 * tenth of a second, or after so many seconds,
 *
 *   {"packets":N,"seconds":S,"late":N,"syns":N,"other":N,"dropped":N,"trains":N}
 *
 * packets: without SYNs; seconds: between the first of them and the last; late: with a number below or at one that came before, so
 * out of order or twice; other: what is no GUE of such a packet; dropped: what the socket had no room for; trains: reads that
 * brought something other than SYNs.
 */
#include <linux/sock_diag.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include "bench.h"

#define BATCH 32
#define QUIET_MS 100
#define ROOM 65536
#define FLOWS (1u << 20)
#define GUE 4
#define HEADERS (GUE + sizeof(struct iphdr) + sizeof(struct tcphdr))

struct control {
  _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

static uint8_t slots[BATCH][ROOM];
static struct control controls[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static uint32_t next_number[FLOWS];
static unsigned long long packets, late, syns, other, trains;

/* A GUE header without further hops, and a packet of `generate`. */
static void take(const uint8_t *gue, size_t length) {
  struct mark mark;
  if (length < HEADERS + sizeof mark || gue[0] != 0 || gue[1] != IPPROTO_IPIP) {
    other++;
    return;
  }
  memcpy(&mark, gue + HEADERS, sizeof mark);
  if (mark.flow >= FLOWS) {
    other++;
    return;
  }
  if (gue[GUE + sizeof(struct iphdr) + 13] & TH_SYN) {
    syns++;
    return;
  }
  packets++;
  if (mark.number < next_number[mark.flow]) late++;
  else next_number[mark.flow] = mark.number + 1;
}

static size_t segment_of(struct msghdr *header, size_t length) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
    int size;
    if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO) continue;
    memcpy(&size, CMSG_DATA(c), sizeof size);
    if (size > 0) return (size_t)size;
  }
  return length;
}

static void take_message(const uint8_t *bytes, struct mmsghdr *message) {
  const size_t length = message->msg_len, segment = segment_of(&message->msg_hdr, length);
  const unsigned long long before = packets;
  for (size_t at = 0; at < length; at += segment) take(bytes + at, at + segment > length ? length - at : segment);
  if (packets > before) trains++;
}

int main(int count, char **arguments) {
  if (count != 3) usage("sink PORT MOST_SECONDS");
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) die("socket");
  set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20, "SO_RCVBUFFORCE");
  set(fd, IPPROTO_UDP, UDP_GRO, 1, "UDP_GRO");
  const struct sockaddr_in own = place("0.0.0.0", arguments[1]);
  if (bind(fd, (const struct sockaddr *)&own, sizeof own) != 0) die("bind");
  for (int i = 0; i < BATCH; i++) parts[i] = (struct iovec){slots[i], ROOM};
  say_ready();

  uint64_t first = 0, last = 0, time = now();
  const uint64_t end = time + (uint64_t)(atof(arguments[2]) * 1e9);
  while (time < end) {
    /* Our input is looked at only when there is nothing else to do. */
    struct pollfd come = {.fd = fd, .events = POLLIN};
    if (poll(&come, 1, QUIET_MS) < 0 && errno != EINTR) die("poll");
    time = now();
    if (come.revents == 0) {
      if (asked_to_end()) break;
      continue;
    }
    for (int i = 0; i < BATCH; i++) {
      messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = &controls[i], .msg_controllen = sizeof controls[i]};
    }
    const int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (got <= 0) continue;
    const unsigned long long before = packets;
    for (int i = 0; i < got; i++) take_message(slots[i], &messages[i]);
    if (packets == before) continue;
    if (first == 0) first = time;
    last = time;
  }
  uint32_t memory[SK_MEMINFO_VARS] = {0};
  socklen_t length = sizeof memory;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) != 0) die("SO_MEMINFO");
  printf("{\"packets\":%llu,\"seconds\":%.6f,\"late\":%llu,\"syns\":%llu,\"other\":%llu,\"dropped\":%u,\"trains\":%llu}\n", packets,
         (double)(last - first) / 1e9, late, syns, other, memory[SK_MEMINFO_DROPS], trains);
  return 0;
}
