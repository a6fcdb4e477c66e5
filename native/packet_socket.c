/* AF_PACKET sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <unistd.h>

#include "addon.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

static bool bind_device(napi_env env, int fd, unsigned index, const char *device) {
  const struct sockaddr_ll address = {
      .sll_family = AF_PACKET,
      .sll_protocol = htons(ETH_P_ALL),
      .sll_ifindex = (int)index,
  };
  if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0) return true;
  throw_errno(env, errno, "bind", "AF_PACKET", device);
  return false;
}

/*
 * A member of a fanout group must be bound before it joins, and until it has joined it gets every packet a second time.
 * So a group member starts with a filter that takes nothing and gets its own when it is in the group.
 */
static bool join(napi_env env, int fd, unsigned index, const char *device, int32_t group, const struct bytes *filter) {
  static const struct sock_filter TAKE_NOTHING = {.code = BPF_RET | BPF_K, .k = 0};
  const struct bytes nothing = {(uint8_t *)&TAKE_NOTHING, sizeof TAKE_NOTHING};
  if (!attach_filter(env, fd, &nothing, device) || !bind_device(env, fd, index, device) ||
      !set_option(env, fd, SOL_PACKET, PACKET_FANOUT, group | PACKET_FANOUT_HASH << 16, "PACKET_FANOUT", device)) {
    return false;
  }
  if (filter->data != NULL) return attach_filter(env, fd, filter, device);
  return set_option(env, fd, SOL_SOCKET, SO_DETACH_FILTER, 0, "SO_DETACH_FILTER", device);
}

static bool set_up(napi_env env, int fd, unsigned index, const char *device, int32_t group, int32_t buffer, const struct bytes *filter) {
  if (!set_option(env, fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR", device) ||
      !set_option(env, fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING", device) ||
      !set_receive_buffer(env, fd, buffer, device)) {
    return false;
  }
  if (group >= 0) return join(env, fd, index, device, group, filter);
  return (filter->data == NULL || attach_filter(env, fd, filter, device)) && bind_device(env, fd, index, device);
}

/* openPacketSocket(device, fanoutGroup, receiveBuffer, filter) */
napi_value open_packet_socket(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  char device[IF_NAMESIZE];
  int32_t group, buffer;
  struct bytes filter = {NULL, 0};
  napi_valuetype type;
  if (!take_arguments(env, info, 4, arguments) || !take_text(env, arguments[0], "device", device, sizeof device) ||
      !take_int(env, arguments[1], "fanoutGroup", -1, 65535, &group) ||
      !take_int(env, arguments[2], "receiveBuffer", 0, INT32_MAX, &buffer) || napi_typeof(env, arguments[3], &type) != napi_ok ||
      (type != napi_null && !take_bytes(env, arguments[3], "filter", &filter))) {
    return NULL;
  }
  const unsigned index = if_nametoindex(device);
  if (index == 0) return throw_errno(env, errno, "if_nametoindex", NULL, device);
  /* Protocol 0 receives nothing until bind, so that no packet comes in that the filter has not seen. */
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "AF_PACKET", device);
  if (set_up(env, fd, index, device, group, buffer, &filter)) return make_int(env, fd);
  close(fd);
  return NULL;
}

/* openReplySocket(receiveBuffer, filter) */
napi_value open_reply_socket(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t buffer;
  struct bytes filter;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], "receiveBuffer", 0, INT32_MAX, &buffer) ||
      !take_bytes(env, arguments[1], "filter", &filter)) {
    return NULL;
  }
  /* Link headers are taken off, whatever the device: what is left begins with the IP header. */
  const int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "AF_PACKET", NULL);
  if (set_option(env, fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING", NULL) &&
      set_receive_buffer(env, fd, buffer, NULL) && attach_filter(env, fd, &filter, NULL) && bind_device(env, fd, 0, NULL)) {
    return make_int(env, fd);
  }
  close(fd);
  return NULL;
}

/* setFilter(fd, filter) */
napi_value set_filter(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t fd;
  struct bytes filter;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd) ||
      !take_bytes(env, arguments[1], "filter", &filter) || !attach_filter(env, fd, &filter, NULL)) {
    return NULL;
  }
  return make_undefined(env);
}

/* packetStatistics(fd): [packets, drops] */
napi_value packet_statistics(napi_env env, napi_callback_info info) {
  napi_value arguments[1], result, packets, drops;
  int32_t fd;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd)) return NULL;
  struct tpacket_stats statistics;
  socklen_t length = sizeof statistics;
  if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) != 0) {
    return throw_errno(env, errno, "getsockopt", "PACKET_STATISTICS", NULL);
  }
  if (napi_create_array_with_length(env, 2, &result) != napi_ok || napi_create_uint32(env, statistics.tp_packets, &packets) != napi_ok ||
      napi_create_uint32(env, statistics.tp_drops, &drops) != napi_ok || napi_set_element(env, result, 0, packets) != napi_ok ||
      napi_set_element(env, result, 1, drops) != napi_ok) {
    return NULL;
  }
  return result;
}
