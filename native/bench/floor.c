/*
 * The least a director can do: what goes in and out of the kernel, and nothing else.
 *
 *   floor DEVICE VIP OWN_ADDRESS PEER_ADDRESS GUE_PORT SOURCE_PORTS BURST
 *
 * It receives packets to VIP from DEVICE as our worker does: an AF_PACKET socket with virtio header and a filter in the kernel,
 * recvmmsg of up to BURST frames, poll() when there are none. It writes a plain GUE header in front of each packet, in place, and sends
 * them to one peer: one sendmsg with UDP_SEGMENT for as many packets of one size as destination and source port allow, 60 at
 * most. Nothing is parsed but the header lengths, nothing looked up, remembered, counted or checked; there is one peer and its sockets are connected.
 *
 * SOURCE_PORTS 64 is what any director has to do whose packets are to be spread by the network and the receiver's queues: flows leave by 64
 * ports, all packets of a flow by the same. Packets are sorted by a cheap mix of addresses and ports; a burst leaves in up to 64
 * trains, which are long only when bursts are (2 packets with a BURST of 128, 8 with 512). SOURCE_PORTS 1 leaves that out: one path
 * and one queue between two hosts.
 *
 * Runs until its standard input ends. Prints "ready", then {"packets":N,"trains":N,"bursts":N,"dropped":N}; dropped: what the
 * socket had no room for.
 */
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>

#include "bench.h"

#define BURST_MOST 1024
#define PORTS_MOST 64
#define FIRST_PORT 49152
#define TRAIN 60
/* Packets of MTU size fit; a multiple of a page would put all headers into the same cache sets. */
#define SLOT 1984
#define HEADROOM 64
#define GUE 4
#define VIRTIO ((size_t)sizeof(struct virtio_net_hdr))
#define UPLINK_BUFFER (32 << 20)
#define SEND_BUFFER (4 << 20)

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

static uint8_t pool[BURST_MOST][SLOT];
static struct iovec slots[BURST_MOST];
static struct mmsghdr messages[BURST_MOST];
static int senders[PORTS_MOST];
static unsigned long long packets, trains, bursts;

struct train {
  struct iovec parts[TRAIN];
  int count;
  size_t bytes, segment;
};
static struct train open_trains[PORTS_MOST];

static int open_uplink(const char *device, const char *vip) {
  const struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device)};
  struct sock_filter code[] = {
      {BPF_LD | BPF_H | BPF_ABS, 0, 0, 12},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, ETH_P_IP},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 30},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ntohl(place(vip, "0").sin_addr.s_addr)},
      {BPF_RET | BPF_K, 0, 0, 0x40000},
      {BPF_RET | BPF_K, 0, 0, 0},
  };
  const struct sock_fprog filter = {sizeof code / sizeof *code, code};
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0 || address.sll_ifindex == 0) die(device);
  set(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
  set(fd, SOL_SOCKET, SO_RCVBUFFORCE, UPLINK_BUFFER, "SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) die("SO_ATTACH_FILTER");
  if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) die(device);
  return fd;
}

static void open_senders(int count, const char *own, const char *peer, const char *port) {
  const struct sockaddr_in to = place(peer, port);
  for (int i = 0; i < count; i++) {
    struct sockaddr_in from = place(own, "0");
    from.sin_port = htons((uint16_t)(FIRST_PORT + i));
    senders[i] = socket(AF_INET, SOCK_DGRAM, 0);
    if (senders[i] < 0) die("socket");
    set(senders[i], IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER");
    set(senders[i], SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER, "SO_SNDBUFFORCE");
    if (bind(senders[i], (const struct sockaddr *)&from, sizeof from) != 0) die(own);
    if (connect(senders[i], (const struct sockaddr *)&to, sizeof to) != 0) die(peer);
  }
}

static void send_train(int port) {
  struct train *t = &open_trains[port];
  _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))];
  struct msghdr message = {.msg_iov = t->parts, .msg_iovlen = (size_t)t->count};
  if (t->count > 1) {
    const uint16_t segment = (uint16_t)t->segment;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(header), &segment, sizeof segment);
  }
  /* What the kernel does not take is lost, as it would be on a wire; an ICMP error for an earlier one is reported once. */
  if (sendmsg(senders[port], &message, 0) < 0 && errno == ECONNREFUSED) (void)!sendmsg(senders[port], &message, 0);
  trains++;
  t->count = 0;
  t->bytes = 0;
}

/* A train is of datagrams of one size; the last may be shorter. */
static void append(int port, uint8_t *gue, size_t length) {
  struct train *t = &open_trains[port];
  if (t->count == TRAIN || (t->count > 0 && (length > t->segment || t->bytes != (size_t)t->count * t->segment || t->bytes + length > 65000))) send_train(port);
  if (t->count == 0) t->segment = length;
  t->parts[t->count++] = (struct iovec){gue, length};
  t->bytes += length;
}

static int port_of(const uint8_t *ip, int ports) {
  if (ports == 1) return 0;
  uint32_t source, both;
  memcpy(&source, ip + 12, sizeof source);
  memcpy(&both, ip + (ip[0] & 15) * 4, sizeof both);
  return (int)(((source ^ both) * 0x9e3779b1u) >> 26) & (ports - 1);
}

int main(int count, char **arguments) {
  if (count != 8) usage("floor DEVICE VIP OWN_ADDRESS PEER_ADDRESS GUE_PORT SOURCE_PORTS BURST");
  const int ports = atoi(arguments[6]), burst = atoi(arguments[7]);
  if ((ports != 1 && ports != PORTS_MOST) || burst < 1 || burst > BURST_MOST) usage("SOURCE_PORTS is 1 or 64, BURST 1 to 1024");
  const int uplink = open_uplink(arguments[1], arguments[2]);
  open_senders(ports, arguments[3], arguments[4], arguments[5]);
  for (int i = 0; i < burst; i++) {
    slots[i] = (struct iovec){pool[i] + HEADROOM - VIRTIO, SLOT - HEADROOM + VIRTIO};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &slots[i], .msg_iovlen = 1};
  }
  say_ready();

  for (;;) {
    const int got = recvmmsg(uplink, messages, (unsigned)burst, MSG_DONTWAIT, NULL);
    if (got <= 0) {
      struct pollfd both[] = {{.fd = uplink, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
      if (poll(both, 2, -1) < 0 && errno != EINTR) die("poll");
      if (both[0].revents == 0 && both[1].revents != 0) break;
      continue;
    }
    for (int i = 0; i < got; i++) {
      uint8_t *ip = pool[i] + HEADROOM + ETH_HLEN, *gue = ip - GUE;
      const size_t length = (size_t)ip[2] << 8 | ip[3];
      const int port = port_of(ip, ports);
      memcpy(gue, (const uint8_t[]){0, IPPROTO_IPIP, 0, 0}, GUE);
      append(port, gue, length + GUE);
    }
    for (int port = 0; port < ports; port++) {
      if (open_trains[port].count > 0) send_train(port);
    }
    packets += (unsigned)got;
    bursts++;
  }
  struct tpacket_stats statistics;
  socklen_t length = sizeof statistics;
  if (getsockopt(uplink, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) != 0) die("PACKET_STATISTICS");
  printf("{\"packets\":%llu,\"trains\":%llu,\"bursts\":%llu,\"dropped\":%u}\n", packets, trains, bursts, statistics.tp_drops);
  return 0;
}
