/*
 * Sending GUE: messages sorted by socket, those that follow each other to one destination and are of one size joined to
 * trains, then one sendmmsg per socket. On the wire a train is the datagrams it was made of.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

#define SOCKETS (2 * GUE_SOURCE_PORTS)
#define NO_SOCKET SOCKETS

struct gue_sink {
  struct sink sink;
  struct words sends; /* one word: messages that the kernel took in the last call */
  uint16_t port;
  bool segmentation; /* UDP_SEGMENT works; given up when a device turns out not to do it */
  int sockets[SOCKETS]; /* senders of IPv4, then of IPv6; -1 where there are none */
  /* One of each per message that the record array holds, in the order in which they are sent. */
  struct mmsghdr *messages;
  union address *addresses;
  struct gue_control *controls;
  uint16_t *segments; /* bytes of each datagram of a train, 0 for a single one */
  int32_t *parts; /* records that were joined */
  uint8_t *sockets_of; /* by record */
  int32_t *order; /* records by socket */
  struct iovec *iovs; /* as many as the gather array has pairs */
};

static int socket_of(const struct gue_sink *self, const int32_t *record) {
  const int32_t source = record[TX_SOURCE], family = record[TX_FAMILY];
  if (source < 0 || source >= GUE_SOURCE_PORTS || (family != 4 && family != 6)) return NO_SOCKET;
  const int index = source + (family == 6 ? GUE_SOURCE_PORTS : 0);
  return self->sockets[index] >= 0 ? index : NO_SOCKET;
}

static socklen_t put_address(const struct gue_sink *self, const int32_t *record, union address *out) {
  if (record[TX_FAMILY] == 4) {
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = self->port;
    out->v4.sin_addr.s_addr = htonl((uint32_t)record[TX_ADDRESS + 3]);
    return sizeof out->v4;
  }
  out->v6.sin6_family = AF_INET6;
  out->v6.sin6_port = self->port;
  out->v6.sin6_flowinfo = 0;
  out->v6.sin6_scope_id = 0;
  for (int i = 0; i < 4; i++) {
    const uint32_t word = htonl((uint32_t)record[TX_ADDRESS + i]);
    memcpy(out->v6.sin6_addr.s6_addr + 4 * i, &word, sizeof word);
  }
  return sizeof out->v6;
}

static size_t put_traffic_class(const int32_t *record, struct gue_control *control) {
  const int value = record[TX_TRAFFIC_CLASS];
  if (value == 0) return 0;
  struct cmsghdr *header = (struct cmsghdr *)control->bytes;
  header->cmsg_level = record[TX_FAMILY] == 4 ? IPPROTO_IP : IPPROTO_IPV6;
  header->cmsg_type = record[TX_FAMILY] == 4 ? IP_TOS : IPV6_TCLASS;
  header->cmsg_len = CMSG_LEN(sizeof value);
  memcpy(CMSG_DATA(header), &value, sizeof value);
  return CMSG_SPACE(sizeof value);
}

/* Fills place `at` from a record. `iovs` has room for its gather list. False when the record is not sound. */
static bool fill(struct gue_sink *self, const int32_t *record, int32_t at, struct iovec *iovs, int32_t iov_count) {
  const int64_t length = sink_gather(&self->sink, record[TX_IOV_START], record[TX_IOV_COUNT], iov_count, iovs);
  const int32_t segment = record[TX_SEGMENT_SIZE];
  if (length <= 0 || length != record[TX_LENGTH] || segment < 0 || segment > PAYLOAD_MOST) return false;
  if (record[TX_TRAFFIC_CLASS] < 0 || record[TX_TRAFFIC_CLASS] > 255) return false;
  struct msghdr *header = &self->messages[at].msg_hdr;
  struct gue_control *control = &self->controls[at];
  const bool train = segment > 0 && segment < length;
  size_t used = put_traffic_class(record, control);
  if (train) used = put_segment_size(control, used, (uint16_t)segment);
  self->segments[at] = train ? (uint16_t)segment : 0;
  header->msg_name = &self->addresses[at];
  header->msg_namelen = put_address(self, record, &self->addresses[at]);
  header->msg_iov = iovs;
  header->msg_iovlen = (size_t)record[TX_IOV_COUNT];
  header->msg_control = used > 0 ? control : NULL;
  header->msg_controllen = used;
  self->messages[at].msg_len = (unsigned)length;
  return true;
}

/* Bytes of the datagrams of a place; all have as many but the last. */
static uint32_t unit_of(const struct gue_sink *self, int32_t at) {
  return self->segments[at] != 0 ? self->segments[at] : self->messages[at].msg_len;
}

/*
 * Puts the datagrams of place `next` behind those of place `at`, whose gather lists follow each other. `to` and `record` are
 * the records that the places were filled from. False when they are not of one kind.
 */
static bool join(struct gue_sink *self, int32_t at, const int32_t *to, int32_t next, const int32_t *record) {
  const int address = TX_ADDRESS + (record[TX_FAMILY] == 4 ? 3 : 0);
  if (!self->segmentation || to[TX_FAMILY] != record[TX_FAMILY] || to[TX_TRAFFIC_CLASS] != record[TX_TRAFFIC_CLASS]) return false;
  if (memcmp(to + address, record + address, (size_t)(TX_ADDRESS + 4 - address) * sizeof *record) != 0) return false;
  struct mmsghdr *message = &self->messages[at], *more = &self->messages[next];
  const uint32_t unit = unit_of(self, at);
  if (unit > PAYLOAD_MOST || message->msg_len % unit != 0) return false;
  if (self->segments[next] != 0 ? self->segments[next] != unit : more->msg_len > unit) return false;
  if (message->msg_hdr.msg_iovlen + more->msg_hdr.msg_iovlen > IOVS_MOST) return false;
  if (self->segments[at] == 0) {
    struct gue_control *control = &self->controls[at];
    message->msg_hdr.msg_controllen = put_segment_size(control, message->msg_hdr.msg_controllen, (uint16_t)unit);
    message->msg_hdr.msg_control = control;
    self->segments[at] = (uint16_t)unit;
  }
  message->msg_hdr.msg_iovlen += more->msg_hdr.msg_iovlen;
  message->msg_len += more->msg_len;
  self->parts[at]++;
  return true;
}

/* Whether a place is more than one send may be. */
static bool needs_split(const struct gue_sink *self, int32_t at) {
  const unsigned segment = self->segments[at], length = self->messages[at].msg_len;
  if (segment == 0) return false;
  return !self->segmentation || length > PAYLOAD_MOST || length > segment * SEGMENTS_MOST;
}

/* Sends a place in pieces, of one datagram each if `single`. Returns how many of its records may be counted as not taken. */
static int32_t send_split(struct gue_sink *self, int fd, int32_t at, bool single) {
  const struct msghdr *whole = &self->messages[at].msg_hdr;
  const int32_t segment = self->segments[at];
  const size_t before = whole->msg_controllen - CMSG_SPACE(sizeof(uint16_t));
  int32_t segments = 1;
  if (!single) segments = PAYLOAD_MOST / segment < SEGMENTS_MOST ? PAYLOAD_MOST / segment : SEGMENTS_MOST;
  const int32_t failed = split_train(&self->sink, fd, whole, before, segment, segments);
  return failed < self->parts[at] ? failed : self->parts[at];
}

/* Sends places [at, end) by one socket, in order. Returns how many records were not taken. */
static int32_t send_socket(struct gue_sink *self, int fd, int32_t at, int32_t end) {
  int32_t failed = 0;
  while (at < end) {
    if (needs_split(self, at)) {
      failed += send_split(self, fd, at++, !self->segmentation);
      continue;
    }
    int32_t run = at + 1;
    while (run < end && !needs_split(self, run)) run++;
    const int sent = sendmmsg(fd, self->messages + at, (unsigned)(run - at), MSG_DONTWAIT);
    if (sent > 0) {
      at += sent;
      self->sink.sends += sent;
    } else if (errno == EAGAIN) {
      /* The queue is full and stays so: what follows would only overtake. */
      if (sink_wait(&self->sink, fd)) continue;
      for (; at < end; at++) failed += self->parts[at];
    } else if (errno == EIO && self->segments[at] != 0) {
      /* A device that cannot sum checksums (kernels before 6.11): from now on datagrams go one by one. */
      self->segmentation = false;
    } else if (errno != EINTR) {
      /* One that does not fit its path must not take those that were joined to it with it. */
      failed += self->parts[at] > 1 ? send_split(self, fd, at, true) : 1;
      at++;
    }
  }
  return failed;
}

/* Sorts records by socket: stable, so that the order per source port stays. Fills `ends`; returns how many have no socket. */
static int32_t sort(struct gue_sink *self, int32_t count, int32_t *ends) {
  int32_t counts[SOCKETS + 1] = {0};
  for (int32_t i = 0; i < count; i++) {
    self->sockets_of[i] = (uint8_t)socket_of(self, self->sink.records.data + (size_t)i * TX_STRIDE);
    counts[self->sockets_of[i]]++;
  }
  int32_t from = 0;
  for (int s = 0; s < SOCKETS; s++) {
    ends[s] = from;
    from += counts[s];
  }
  for (int32_t i = 0; i < count; i++) {
    const int s = self->sockets_of[i];
    if (s != NO_SOCKET) self->order[ends[s]++] = i;
  }
  return counts[NO_SOCKET];
}

static int32_t send_gue(struct sink *sink, int32_t count, int32_t iov_count) {
  struct gue_sink *self = (struct gue_sink *)sink;
  int32_t ends[SOCKETS];
  int32_t failed = sort(self, count, ends);
  size_t iovs_used = 0;
  int32_t next = 0, at = 0;
  for (int s = 0; s < SOCKETS; s++) {
    const int32_t start = at;
    const int32_t *last = NULL;
    for (; next < ends[s]; next++) {
      const int32_t *record = sink->records.data + (size_t)self->order[next] * TX_STRIDE;
      /* Lists may overlap, but together they may not be longer than the gather array. */
      const bool room = record[TX_IOV_COUNT] >= 0 && (size_t)record[TX_IOV_COUNT] <= sink->iovs.length / 2 - iovs_used;
      if (!room || !fill(self, record, at, self->iovs + iovs_used, iov_count)) {
        failed++;
        continue;
      }
      iovs_used += (size_t)record[TX_IOV_COUNT];
      self->parts[at] = 1;
      if (last != NULL && join(self, at - 1, last, at, record)) continue;
      last = record;
      at++;
    }
    if (at > start) failed += send_socket(self, self->sockets[s], start, at);
  }
  self->sends.data[0] = sink->sends;
  return failed;
}

static void release(void *data) {
  struct gue_sink *self = data;
  free(self->messages);
  free(self->addresses);
  free(self->controls);
  free(self->segments);
  free(self->parts);
  free(self->sockets_of);
  free(self->order);
  free(self->iovs);
}

/* One family's descriptors: GUE_SOURCE_PORTS of them, or none. */
static bool take_senders(napi_env env, napi_value value, const char *name, int *sockets) {
  struct words fds;
  if (!take_words(env, value, name, &fds)) return false;
  if (fds.length != 0 && fds.length != GUE_SOURCE_PORTS) {
    throw_range(env, "%s: %zu descriptors, %d or none expected", name, fds.length, GUE_SOURCE_PORTS);
    return false;
  }
  for (size_t i = 0; i < GUE_SOURCE_PORTS; i++) sockets[i] = fds.length == 0 ? -1 : fds.data[i];
  return true;
}

static bool take_sends(napi_env env, napi_value value, struct gue_sink *self) {
  if (!take_words(env, value, "sends", &self->sends)) return false;
  if (self->sends.length == 0) {
    throw_range(env, "sends: no word");
    return false;
  }
  return handle_keep(env, &self->sink.handle, value);
}

static bool allocate(struct gue_sink *self) {
  const size_t messages = self->sink.records.length / TX_STRIDE + 1;
  self->messages = calloc(messages, sizeof *self->messages);
  self->addresses = calloc(messages, sizeof *self->addresses);
  self->controls = calloc(messages, sizeof *self->controls);
  self->segments = calloc(messages, sizeof *self->segments);
  self->parts = calloc(messages, sizeof *self->parts);
  self->sockets_of = calloc(messages, sizeof *self->sockets_of);
  self->order = calloc(messages, sizeof *self->order);
  self->iovs = calloc(self->sink.iovs.length / 2 + 1, sizeof *self->iovs);
  return self->messages && self->addresses && self->controls && self->segments && self->parts && self->sockets_of && self->order &&
         self->iovs;
}

/* createGueSink(pool, port, senders4, senders6, segmentation, records, iovs, sums, sends) */
napi_value create_gue_sink(napi_env env, napi_callback_info info) {
  napi_value arguments[9];
  int32_t port;
  bool segmentation;
  if (!take_arguments(env, info, 9, arguments) || !take_int(env, arguments[1], "port", 1, 65535, &port) ||
      !take_bool(env, arguments[4], "segmentation", &segmentation)) {
    return NULL;
  }
  struct gue_sink *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  self->sink.handle.kind = HANDLE_GUE_SINK;
  self->sink.handle.release = release;
  self->sink.send = send_gue;
  self->port = htons((uint16_t)port);
  self->segmentation = segmentation && kernel_segments();
  if (!take_senders(env, arguments[2], "senders4", self->sockets) ||
      !take_senders(env, arguments[3], "senders6", self->sockets + GUE_SOURCE_PORTS) ||
      !sink_open(env, &self->sink, arguments[0], arguments[5], arguments[6], arguments[7]) ||
      !take_sends(env, arguments[8], self)) {
    handle_free(env, &self->sink.handle);
    return NULL;
  }
  if (!allocate(self)) {
    handle_free(env, &self->sink.handle);
    return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  }
  return handle_wrap(env, &self->sink.handle);
}
