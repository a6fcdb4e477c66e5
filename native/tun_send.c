/* Handing packets to the kernel through a TUN queue: one write each, with a virtio header in front. */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <unistd.h>

#include "addon.h"

struct tun_sink {
  struct sink sink;
  int fd;
};

static bool is_u16(int32_t value) {
  return value >= 0 && value <= 0xffff;
}

/* The virtio header of a record. False when a value does not fit; what the values mean is checked by the kernel. */
static bool fill_header(const int32_t *record, struct virtio_net_hdr *header) {
  for (int i = UP_GSO_TYPE; i <= UP_HEADER_LENGTH; i++) {
    if (!is_u16(record[i])) return false;
  }
  if (record[UP_GSO_TYPE] > 0xff) return false;
  *header = (struct virtio_net_hdr){
      .flags = record[UP_FLAGS] & RX_NEEDS_CSUM ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
      .gso_type = (uint8_t)(record[UP_GSO_TYPE] | (record[UP_FLAGS] & RX_CWR_FIRST ? VIRTIO_NET_HDR_GSO_ECN : 0)),
      .hdr_len = (uint16_t)record[UP_HEADER_LENGTH],
      .gso_size = (uint16_t)record[UP_GSO_SIZE],
      .csum_start = (uint16_t)record[UP_CSUM_START],
      .csum_offset = (uint16_t)record[UP_CSUM_OFFSET],
  };
  return true;
}

static bool write_packet(struct tun_sink *self, const int32_t *record, int32_t iov_count) {
  struct virtio_net_hdr header;
  struct iovec iovs[IOVS_MOST + 1];
  const int32_t count = record[UP_IOV_COUNT];
  if (count >= IOVS_MOST || !fill_header(record, &header)) return false; /* the header takes one of the kernel's limit */
  const int64_t length = sink_gather(&self->sink, record[UP_IOV_START], count, iov_count, iovs + 1);
  if (length <= 0 || length != record[UP_LENGTH]) return false;
  iovs[0].iov_base = &header;
  iovs[0].iov_len = sizeof header;
  for (;;) {
    if (writev(self->fd, iovs, count + 1) >= 0) return true;
    if (errno != EINTR && (errno != EAGAIN || !sink_wait(&self->sink, self->fd))) return false;
  }
}

static int32_t send_tun(struct sink *sink, int32_t count, int32_t iov_count) {
  struct tun_sink *self = (struct tun_sink *)sink;
  int32_t failed = 0;
  for (int32_t i = 0; i < count; i++) {
    if (!write_packet(self, sink->records.data + (size_t)i * UP_STRIDE, iov_count)) failed++;
  }
  return failed;
}

/* createTunSink(pool, fd, records, iovs, sums) */
napi_value create_tun_sink(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  int32_t fd;
  if (!take_arguments(env, info, 5, arguments) || !take_int(env, arguments[1], "fd", 0, INT32_MAX, &fd)) return NULL;
  struct tun_sink *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  self->sink.handle.kind = HANDLE_TUN_SINK;
  self->sink.send = send_tun;
  self->fd = fd;
  if (!sink_open(env, &self->sink, arguments[0], arguments[2], arguments[3], arguments[4])) {
    handle_free(env, &self->sink.handle);
    return NULL;
  }
  return handle_wrap(env, &self->sink.handle);
}
