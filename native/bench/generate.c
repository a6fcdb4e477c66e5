/*
 * Small packets of many TCP connections, as a router hands them to a host:
 *
 *   generate DEVICE HOST_MAC VIP PORT FLOWS PER_SECOND SECONDS [syn]
 *
 * IP packets of 64 bytes: ACK with 24 bytes of payload, which begin with the flow's number and the packet's number in its flow (struct
 * mark). Flows take turns, a packet each. They leave by an AF_PACKET socket on DEVICE for the link address HOST_MAC, 64 to a
 * sendmmsg. PER_SECOND 0 is as many as go; else they are due evenly, and those due are sent five times a millisecond. With
 * `syn` one SYN of each flow is sent and nothing else. Prints {"sent":N,"seconds":S}.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include "bench.h"

#define BATCH 64
#define PACKET 64
#define TICK_NS 200000u
/* A sender that got no processor for longer is late for good: what it would catch up with is a burst, not the rate asked for. */
#define BEHIND_MOST_NS 5000000u

struct frame {
  struct ethhdr ethernet;
  struct iphdr ip;
  struct tcphdr tcp;
  struct mark mark;
  uint8_t rest[PACKET - sizeof(struct iphdr) - sizeof(struct tcphdr) - sizeof(struct mark)];
} __attribute__((packed));

static struct frame frames[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static uint16_t sum(const void *data, size_t length, uint32_t start) {
  const uint8_t *bytes = data;
  uint32_t total = start;
  for (size_t i = 0; i < length; i += 2) total += (uint32_t)bytes[i] << 8 | bytes[i + 1];
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return htons((uint16_t)~total);
}

/* Fills frame `at` for the flow's packet of that number. 16 ports an address, as if there were many clients. */
static void write_packet(int at, uint32_t flow, uint32_t number, int syn) {
  struct frame *f = &frames[at];
  f->ip.saddr = htonl(0x64400000u + (flow >> 4)); /* 100.64.0.0/10, RFC 6598 */
  f->ip.check = 0;
  f->ip.check = sum(&f->ip, sizeof f->ip, 0);
  f->tcp.source = htons((uint16_t)(1024 + (flow * 7u) % 60000));
  f->tcp.seq = htonl(syn ? 0 : 1 + number * 24);
  f->tcp.syn = syn ? 1 : 0;
  f->tcp.ack = syn ? 0 : 1;
  f->mark = (struct mark){flow, number};
  f->tcp.check = 0;
  const uint32_t length = PACKET - sizeof f->ip;
  const uint32_t from = ntohl(f->ip.saddr), to = ntohl(f->ip.daddr);
  const uint32_t pseudo = (from >> 16) + (from & 0xffff) + (to >> 16) + (to & 0xffff) + IPPROTO_TCP + length;
  f->tcp.check = sum(&f->tcp, length, pseudo);
}

static void prepare(const uint8_t *mac, const char *vip, const char *port, struct sockaddr_ll *to) {
  for (int i = 0; i < BATCH; i++) {
    struct frame *f = &frames[i];
    memcpy(f->ethernet.h_dest, mac, ETH_ALEN);
    f->ethernet.h_source[0] = 2; /* locally administered */
    f->ethernet.h_proto = htons(ETH_P_IP);
    f->ip.version = 4;
    f->ip.ihl = 5;
    f->ip.tot_len = htons(PACKET);
    f->ip.frag_off = htons(IP_DF);
    f->ip.ttl = 63;
    f->ip.protocol = IPPROTO_TCP;
    f->ip.daddr = place(vip, port).sin_addr.s_addr;
    f->tcp.dest = place(vip, port).sin_port;
    f->tcp.doff = 5;
    f->tcp.window = htons(1024);
    parts[i] = (struct iovec){f, sizeof *f};
    messages[i].msg_hdr = (struct msghdr){.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &parts[i], .msg_iovlen = 1};
  }
}

static int send_batch(int fd, int count) {
  for (int done = 0; done < count;) {
    const int taken = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
    if (taken > 0) done += taken;
    else if (errno != EINTR && errno != ENOBUFS && errno != EAGAIN) die("sendmmsg");
  }
  return count;
}

static uint8_t mac[ETH_ALEN];

static void parse_mac(const char *text) {
  unsigned bytes[ETH_ALEN];
  if (sscanf(text, "%x:%x:%x:%x:%x:%x", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5]) != ETH_ALEN) usage("HOST_MAC is aa:bb:cc:dd:ee:ff");
  for (int i = 0; i < ETH_ALEN; i++) mac[i] = (uint8_t)bytes[i];
}

int main(int count, char **arguments) {
  if (count != 8 && count != 9) usage("generate DEVICE HOST_MAC VIP PORT FLOWS PER_SECOND SECONDS [syn]");
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) die("AF_PACKET");
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = (int)if_nametoindex(arguments[1]), .sll_halen = ETH_ALEN};
  if (to.sll_ifindex == 0) die(arguments[1]);
  parse_mac(arguments[2]);
  memcpy(to.sll_addr, mac, ETH_ALEN);
  set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
  prepare(mac, arguments[3], arguments[4], &to);
  sleep_exactly();

  const uint32_t flows = (uint32_t)atoi(arguments[5]);
  const double per_second = atof(arguments[6]);
  const int syn = count == 9;
  const uint64_t all = syn ? flows : UINT64_MAX, begun = now(), end = begun + (uint64_t)(atof(arguments[7]) * 1e9);
  uint64_t sent = 0, time = begun, since = begun, before = 0;
  uint32_t flow = 0, number = 0;
  while (time < end && sent < all) {
    uint64_t due = all - sent;
    if (per_second > 0) {
      if (time - since > BEHIND_MOST_NS && (double)(time - since - BEHIND_MOST_NS) * per_second / 1e9 > (double)(sent - before)) {
        since = time - BEHIND_MOST_NS;
        before = sent;
      }
      const double owed = (double)(time - since) * per_second / 1e9 - (double)(sent - before);
      if (owed < 1) {
        const struct timespec tick = {.tv_nsec = TICK_NS};
        nanosleep(&tick, NULL);
        time = now();
        continue;
      }
      if ((uint64_t)owed < due) due = (uint64_t)owed;
    }
    const int batch = due < BATCH ? (int)due : BATCH;
    for (int i = 0; i < batch; i++) {
      write_packet(i, flow, number, syn);
      if (++flow == flows) {
        flow = 0;
        number++;
      }
    }
    sent += (uint64_t)send_batch(fd, batch);
    time = now();
  }
  printf("{\"sent\":%llu,\"seconds\":%.6f}\n", (unsigned long long)sent, (double)(time - begun) / 1e9);
  return 0;
}
