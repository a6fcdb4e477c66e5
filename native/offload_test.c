/* What the kernel can do to many packets at a time, found out by having it done. Nothing leaves the host, nothing stays. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "addon.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Bits of the answer; src/control/offloads.ts has them too. */
#define SENDS_TRAINS 1
#define RECEIVES_TRAINS 2
#define JOINS_TCP 4
#define JOINS_UDP 8

/* Two packets of SEGMENT bytes of payload and a shorter one. */
#define SEGMENT 100
#define PAYLOAD (2 * SEGMENT + 50)
#define PATIENCE_MS 200

static int bound(struct sockaddr_in *place) {
  *place = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof *place;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (bind(fd, (struct sockaddr *)place, sizeof *place) == 0 && getsockname(fd, (struct sockaddr *)place, &length) == 0) return fd;
  close(fd);
  return -1;
}

/* Bytes of the first message that comes and, when it is a train, of its datagrams (else 0). -1 when none comes. */
static ssize_t receive(int fd, int *segment) {
  uint8_t bytes[2 * PAYLOAD];
  _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct pollfd come = {.fd = fd, .events = POLLIN};
  *segment = 0;
  if (poll(&come, 1, PATIENCE_MS) <= 0) return -1;
  const ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
  for (struct cmsghdr *c = length < 0 ? NULL : CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) memcpy(segment, CMSG_DATA(c), sizeof *segment);
  }
  return length;
}

/* A train over loopback. Where that is down nothing can be seen there, and what the kernel knows (`can`) has to do. */
static int32_t try_trains(int sender, int receiver, const struct sockaddr_in *to, int32_t can) {
  static const uint8_t payload[PAYLOAD];
  const int on = 1, size = SEGMENT;
  int segment;
  if (can == 0 || setsockopt(sender, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) != 0) return 0;
  if (setsockopt(receiver, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0 && errno != ENOPROTOOPT) return 0;
  if (sendto(sender, payload, sizeof payload, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof *to) < 0) {
    return errno == EIO || errno == EINVAL ? 0 : can;
  }
  const ssize_t length = receive(receiver, &segment);
  if (length < 0) return can;
  if (length == PAYLOAD && segment == SEGMENT) return SENDS_TRAINS | RECEIVES_TRAINS;
  return length == SEGMENT ? SENDS_TRAINS : 0;
}

static int32_t test_trains(void) {
  struct sockaddr_in to, from;
  const int sender = bound(&from), receiver = bound(&to);
  int32_t can = kernel_segments() ? SENDS_TRAINS | RECEIVES_TRAINS : 0;
  if (sender >= 0 && receiver >= 0) can = try_trains(sender, receiver, &to, can);
  if (sender >= 0) close(sender);
  if (receiver >= 0) close(receiver);
  return can;
}

/* Whether a TUN takes a super-segment in one write. The device is down: it looks at the header, and then says so (EIO). */
static bool takes(int fd, uint8_t type, uint8_t protocol, uint16_t l4_header, uint16_t sum_offset) {
  uint8_t packet[sizeof(struct iphdr) + sizeof(struct tcphdr) + PAYLOAD] = {0};
  const uint16_t headers = (uint16_t)(sizeof(struct iphdr) + l4_header), length = (uint16_t)(headers + PAYLOAD);
  const struct iphdr ip = {.version = 4, .ihl = 5, .tot_len = htons(length), .ttl = 1, .protocol = protocol, .daddr = htonl(INADDR_LOOPBACK)};
  memcpy(packet, &ip, sizeof ip);
  if (protocol == IPPROTO_TCP) {
    const struct tcphdr tcp = {.doff = 5, .ack = 1};
    memcpy(packet + sizeof ip, &tcp, sizeof tcp);
  } else {
    const struct udphdr udp = {.len = htons((uint16_t)(l4_header + PAYLOAD))};
    memcpy(packet + sizeof ip, &udp, sizeof udp);
  }
  struct virtio_net_hdr header = {
      .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
      .gso_type = type,
      .hdr_len = headers,
      .gso_size = SEGMENT,
      .csum_start = sizeof ip,
      .csum_offset = sum_offset,
  };
  const struct iovec parts[] = {{&header, sizeof header}, {packet, length}};
  return writev(fd, parts, 2) < 0 && errno == EIO;
}

/* On a device of its own, which is never up and goes away at once. -1 with errno when there can be none. */
static int32_t test_tun(void) {
  struct ifreq request = {.ifr_name = "hafl-test%d", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  int32_t can = -1;
  int header = sizeof(struct virtio_net_hdr);
  if (ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETVNETHDRSZ, &header) == 0) {
    const bool tcp = takes(fd, VIRTIO_NET_HDR_GSO_TCPV4, IPPROTO_TCP, sizeof(struct tcphdr), offsetof(struct tcphdr, check));
    const bool udp = takes(fd, VIRTIO_NET_HDR_GSO_UDP_L4, IPPROTO_UDP, sizeof(struct udphdr), offsetof(struct udphdr, check));
    can = (tcp ? JOINS_TCP : 0) | (udp ? JOINS_UDP : 0);
  }
  const int error = errno;
  close(fd);
  errno = error;
  return can;
}

/* testOffloads() */
napi_value test_offloads(napi_env env, napi_callback_info info) {
  (void)info;
  const int32_t tun = test_tun();
  if (tun < 0) return throw_errno(env, errno, "ioctl", "TUNSETIFF", "hafl-test");
  return make_int(env, test_trains() | tun);
}
