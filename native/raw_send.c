/*
 * Packets that we originate ourselves, IP header and all: raw sockets that only send. The kernel routes them; the source
 * address is the header's, which need not be one that this host would choose.
 */
#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addon.h"

/* Linux 4.5; C libraries came later. */
#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif
#define SEND_BUFFER (1 << 20)

enum { IPV4_HEADER = 20, IPV6_HEADER = 40, IPV4_DESTINATION = 16, IPV6_DESTINATION = 24 };

struct raw_sink {
  struct sink sink;
  int fd4, fd6; /* -1: none */
};

static bool set_up_raw(napi_env env, int fd, bool v4) {
  static const struct sock_filter TAKE_NOTHING = {.code = BPF_RET | BPF_K, .k = 0};
  const struct bytes nothing = {(uint8_t *)&TAKE_NOTHING, sizeof TAKE_NOTHING};
  const int buffer = SEND_BUFFER;
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer); /* what is not taken is lost and counted */
  if (v4 ? !set_option(env, fd, IPPROTO_IP, IP_HDRINCL, 1, "IP_HDRINCL", NULL)
         : !set_option(env, fd, IPPROTO_IPV6, IPV6_HDRINCL, 1, "IPV6_HDRINCL", NULL)) {
    return false;
  }
  return attach_filter(env, fd, &nothing, NULL);
}

/* openRawSender(family) */
napi_value open_raw_sender(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t family;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], "family", 4, 6, &family)) return NULL;
  const int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) return throw_errno(env, errno, "socket", "RAW", family == 4 ? "IPv4" : "IPv6");
  if (set_up_raw(env, fd, family == 4)) return make_int(env, fd);
  close(fd);
  return NULL;
}

static bool send_packet(struct raw_sink *self, const int32_t *record, int32_t iov_count) {
  struct iovec iovs[IOVS_MOST];
  const int64_t length = sink_gather(&self->sink, record[UP_IOV_START], record[UP_IOV_COUNT], iov_count, iovs);
  if (length <= 0 || length != record[UP_LENGTH]) return false;
  const uint8_t *header = iovs[0].iov_base;
  const size_t first = iovs[0].iov_len;
  union address to;
  memset(&to, 0, sizeof to);
  struct msghdr message = {.msg_name = &to, .msg_iov = iovs, .msg_iovlen = (size_t)record[UP_IOV_COUNT]};
  int fd;
  if (first >= IPV4_HEADER && header[0] >> 4 == 4) {
    fd = self->fd4;
    to.v4.sin_family = AF_INET;
    memcpy(&to.v4.sin_addr, header + IPV4_DESTINATION, sizeof to.v4.sin_addr);
    message.msg_namelen = sizeof to.v4;
  } else if (first >= IPV6_HEADER && header[0] >> 4 == 6) {
    fd = self->fd6;
    to.v6.sin6_family = AF_INET6;
    memcpy(&to.v6.sin6_addr, header + IPV6_DESTINATION, sizeof to.v6.sin6_addr);
    message.msg_namelen = sizeof to.v6;
  } else {
    return false;
  }
  if (fd < 0) return false;
  for (;;) {
    if (sendmsg(fd, &message, 0) >= 0) return true;
    if (errno != EINTR && (errno != EAGAIN || !sink_wait(&self->sink, fd))) return false;
  }
}

static int32_t send_raw(struct sink *sink, int32_t count, int32_t iov_count) {
  struct raw_sink *self = (struct raw_sink *)sink;
  int32_t failed = 0;
  for (int32_t i = 0; i < count; i++) {
    if (!send_packet(self, sink->records.data + (size_t)i * UP_STRIDE, iov_count)) failed++;
  }
  return failed;
}

/* createRawSink(pool, fd4, fd6, records, iovs, sums) */
napi_value create_raw_sink(napi_env env, napi_callback_info info) {
  napi_value arguments[6];
  int32_t fd4, fd6;
  if (!take_arguments(env, info, 6, arguments) || !take_int(env, arguments[1], "fd4", -1, INT32_MAX, &fd4) ||
      !take_int(env, arguments[2], "fd6", -1, INT32_MAX, &fd6)) {
    return NULL;
  }
  struct raw_sink *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  self->sink.handle.kind = HANDLE_RAW_SINK;
  self->sink.send = send_raw;
  self->fd4 = fd4;
  self->fd6 = fd6;
  if (!sink_open(env, &self->sink, arguments[0], arguments[3], arguments[4], arguments[5])) {
    handle_free(env, &self->sink.handle);
    return NULL;
  }
  return handle_wrap(env, &self->sink.handle);
}
