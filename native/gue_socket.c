/* UDP sockets that carry GUE. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "addon.h"

#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

/* What a sending socket may have under way, so that a burst of trains of 64 KB fits; a limit, not an allocation. */
#define SEND_BUFFER (4 << 20)

struct place {
  union address address;
  socklen_t length;
  char text[INET6_ADDRSTRLEN + 10]; /* "ADDRESS port PORT" for messages */
};

static bool take_place(napi_env env, napi_value address, napi_value port, struct place *out) {
  char text[INET6_ADDRSTRLEN];
  int32_t number;
  if (!take_text(env, address, "address", text, sizeof text) || !take_int(env, port, "port", 0, 65535, &number) ||
      !parse_address(env, text, number, &out->address, &out->length)) {
    return false;
  }
  snprintf(out->text, sizeof out->text, strchr(text, ':') == NULL ? "%s:%d" : "[%s]:%d", text, number);
  return true;
}

static int open_udp(napi_env env, const struct place *place) {
  const int fd = socket(place->address.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw_errno(env, errno, "socket", "UDP", place->text);
  return fd;
}

static bool bind_udp(napi_env env, int fd, const struct place *place) {
  if (bind(fd, &place->address.any, place->length) == 0) return true;
  throw_errno(env, errno, "bind", "UDP", place->text);
  return false;
}

static bool set_up_receiver(napi_env env, int fd, const struct place *place, bool reuse_port, bool gro, int32_t buffer) {
  const int on = 1;
  if (place->address.any.sa_family == AF_INET) {
    if (!set_option(env, fd, IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS", place->text)) return false;
  } else {
    /* Outer checksums may be zero over IPv6 as well (RFC 6936): kernels send tunnels that way when told to. */
    if (!set_option(env, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY", place->text) ||
        !set_option(env, fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS", place->text) ||
        !set_option(env, fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1, "UDP_NO_CHECK6_RX", place->text)) {
      return false;
    }
  }
  if (reuse_port && !set_option(env, fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT", place->text)) return false;
  /* A kernel without it (before 5.0) hands over datagrams one by one, which is the same to the caller. */
  if (gro && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0 && errno != ENOPROTOOPT) {
    throw_errno(env, errno, "setsockopt", "UDP_GRO", place->text);
    return false;
  }
  return set_receive_buffer(env, fd, buffer, place->text) && bind_udp(env, fd, place);
}

/*
 * The outer packet must not be fragmented: DF is set. PMTUDISC_PROBE rather than PMTUDISC_DO, which would also believe
 * ICMP "fragmentation needed": one forged message could shrink the path between two hosts and stop all large packets.
 * The path between hosts is the operator's own; the device's MTU is what counts.
 */
static bool set_up_sender(napi_env env, int fd, const struct place *place) {
  static const struct sock_filter TAKE_NOTHING = {.code = BPF_RET | BPF_K, .k = 0};
  const struct bytes nothing = {(uint8_t *)&TAKE_NOTHING, sizeof TAKE_NOTHING};
  const int buffer = SEND_BUFFER;
  if (place->address.any.sa_family == AF_INET) {
    if (!set_option(env, fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER", place->text)) return false;
  } else {
    if (!set_option(env, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY", place->text) ||
        !set_option(env, fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER", place->text)) {
      return false;
    }
  }
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) != 0 &&
      !set_option(env, fd, SOL_SOCKET, SO_SNDBUF, buffer, "SO_SNDBUF", place->text)) {
    return false;
  }
  return set_option(env, fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT", place->text) && attach_filter(env, fd, &nothing, place->text) &&
         bind_udp(env, fd, place);
}

/* openGueReceiver(address, port, reusePort, gro, receiveBuffer) */
napi_value open_gue_receiver(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  struct place place;
  bool reuse_port, gro;
  int32_t buffer;
  if (!take_arguments(env, info, 5, arguments) || !take_place(env, arguments[0], arguments[1], &place) ||
      !take_bool(env, arguments[2], "reusePort", &reuse_port) || !take_bool(env, arguments[3], "gro", &gro) ||
      !take_int(env, arguments[4], "receiveBuffer", 0, INT32_MAX, &buffer)) {
    return NULL;
  }
  const int fd = open_udp(env, &place);
  if (fd < 0) return NULL;
  if (set_up_receiver(env, fd, &place, reuse_port, gro, buffer)) return make_int(env, fd);
  close(fd);
  return NULL;
}

/* openGueSender(address, port) */
napi_value open_gue_sender(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct place place;
  if (!take_arguments(env, info, 2, arguments) || !take_place(env, arguments[0], arguments[1], &place)) return NULL;
  const int fd = open_udp(env, &place);
  if (fd < 0) return NULL;
  if (set_up_sender(env, fd, &place)) return make_int(env, fd);
  close(fd);
  return NULL;
}

bool kernel_segments(void) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const int size = 1400;
  const bool known = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) == 0;
  close(fd);
  return known;
}

/* hasUdpSegment() */
napi_value has_udp_segment(napi_env env, napi_callback_info info) {
  (void)info;
  return make_bool(env, kernel_segments());
}
