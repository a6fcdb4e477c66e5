/* Receiving bursts into the slots of a pool. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addon.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* struct virtio_net_hdr as AF_PACKET and TUN use it: 10 bytes, machine order. */
#define VIRTIO_HEADER ((int32_t)sizeof(struct virtio_net_hdr))
_Static_assert(sizeof(struct virtio_net_hdr) == 10, "virtio header of 10 bytes");

/* How often one call tries again after an error that concerns a single packet or a passing state. */
#define RETRIES 64

/* Room for traffic class and UDP_GRO. */
struct control {
  _Alignas(struct cmsghdr) uint8_t bytes[2 * CMSG_SPACE(sizeof(int))];
};

/* Large slots of one receiver. */
#define LARGE_MOST 64
/* So many calls after a frame that needed a large slot no more frames are asked for than there are large slots. */
#define LARGE_CALLS 256

struct receiver {
  struct handle handle;
  int (*receive)(napi_env env, struct receiver *self); /* packets, -1 after throwing */
  int fd, slots, used;                                 /* used: messages whose headers the last call changed */
  int32_t first, slot_size;
  /* Frames longer than a slot end in a large slot: there are `large` of them, from `large_first` on. */
  int32_t large, large_first, large_size;
  int large_calls;
  uint8_t *pool;
  int32_t *records;
  struct mmsghdr *messages;
  struct iovec *iovs;
  union address *peers;     /* GUE only */
  struct control *controls; /* GUE only */
};

static int32_t packet_offset(const struct receiver *self, int slot) {
  return self->first + slot * self->slot_size + HEADROOM;
}

static int32_t *clear_record(const struct receiver *self, int index, int32_t offset, int32_t length) {
  int32_t *record = self->records + (size_t)index * RX_STRIDE;
  memset(record, 0, RX_STRIDE * sizeof *record);
  record[RX_OFFSET] = offset;
  record[RX_LENGTH] = length;
  return record;
}

/* A frame whose virtio header lies in the headroom, right in front of it. */
static void describe_frame(const struct receiver *self, int slot, int32_t bytes, bool truncated) {
  const int32_t offset = packet_offset(self, slot);
  struct virtio_net_hdr header;
  memcpy(&header, self->pool + offset - VIRTIO_HEADER, sizeof header);
  int32_t *record = clear_record(self, slot, offset, bytes - VIRTIO_HEADER);
  if (truncated) record[RX_FLAGS] |= RX_TRUNCATED;
  if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
    record[RX_FLAGS] |= RX_NEEDS_CSUM;
    record[RX_CSUM_START] = header.csum_start;
    record[RX_CSUM_OFFSET] = header.csum_offset;
  }
  if (header.gso_type & VIRTIO_NET_HDR_GSO_ECN) record[RX_FLAGS] |= RX_CWR_FIRST;
  record[RX_GSO_TYPE] = header.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
  if (record[RX_GSO_TYPE] != VIRTIO_NET_HDR_GSO_NONE) record[RX_GSO_SIZE] = header.gso_size;
}

/* After NETDEV_UNREGISTER the socket is bound to no device (index -1); after a mere "down" it still is, and comes back. */
static bool device_gone(int fd) {
  struct sockaddr_ll address;
  socklen_t length = sizeof address;
  return getsockname(fd, (struct sockaddr *)&address, &length) == 0 && address.sll_family == AF_PACKET && address.sll_ifindex <= 0;
}

/*
 * recvmmsg, with errors that tell of one packet or of a passing state skipped: EINVAL on AF_PACKET is a packet that a
 * virtio header cannot describe (the kernel has dropped it), ENETDOWN a device that was set down. 0 when nothing waits.
 */
static int receive_messages(napi_env env, struct receiver *self, int most) {
  int error = 0;
  for (int i = 0; i < RETRIES; i++) {
    const int count = recvmmsg(self->fd, self->messages, (unsigned)most, MSG_DONTWAIT, NULL);
    if (count >= 0) return count;
    error = errno;
    if (error == EAGAIN || error == ENOBUFS || error == ENOMEM) return 0;
    if (error == EBADF || error == ENOTSOCK || (error == ENETDOWN && device_gone(self->fd))) break;
  }
  throw_errno(env, error, "recvmmsg", NULL, NULL);
  return -1;
}

/*
 * Frames that were too long for their slots have ended in large slots, at the place where they would if they had begun there:
 * the beginning is put in front. A large slot serves several messages in turn; of those in one burst the last has written there,
 * and the others are cut. That may happen to the first such frames alone: afterwards a burst is no longer than there are large slots.
 */
static void join_large(struct receiver *self, int count) {
  const int32_t room = self->slot_size - HEADROOM;
  bool taken[LARGE_MOST] = {false};
  for (int i = count - 1; i >= 0; i--) {
    int32_t *record = self->records + (size_t)i * RX_STRIDE;
    if (record[RX_LENGTH] <= room) continue;
    const int32_t large = i % self->large;
    if (taken[large]) {
      record[RX_LENGTH] = room;
      record[RX_FLAGS] |= RX_TRUNCATED;
      continue;
    }
    taken[large] = true;
    const int32_t offset = self->large_first + large * self->large_size + HEADROOM;
    memcpy(self->pool + offset, self->pool + record[RX_OFFSET], (size_t)room);
    record[RX_OFFSET] = offset;
  }
}

static int receive_packets(napi_env env, struct receiver *self) {
  const int count = receive_messages(env, self, self->large_calls > 0 ? self->large : self->slots);
  bool large = false;
  for (int i = 0; i < count; i++) {
    const struct mmsghdr *message = &self->messages[i];
    const int32_t bytes = (int32_t)message->msg_len < VIRTIO_HEADER ? VIRTIO_HEADER : (int32_t)message->msg_len;
    describe_frame(self, i, bytes, (message->msg_hdr.msg_flags & MSG_TRUNC) != 0);
    if (bytes - VIRTIO_HEADER > self->slot_size - HEADROOM) large = true;
  }
  if (large) {
    join_large(self, count);
    self->large_calls = LARGE_CALLS;
  } else if (self->large_calls > 0) {
    self->large_calls--;
  }
  return count;
}

/* Without link and virtio headers. */
static int receive_network(napi_env env, struct receiver *self) {
  const int count = receive_messages(env, self, self->slots);
  for (int i = 0; i < count; i++) {
    const struct mmsghdr *message = &self->messages[i];
    int32_t *record = clear_record(self, i, packet_offset(self, i), (int32_t)message->msg_len);
    if (message->msg_hdr.msg_flags & MSG_TRUNC) record[RX_FLAGS] |= RX_TRUNCATED;
  }
  return count;
}

/* A read of a TUN does not tell that it was cut, so one that fills the slot to the last byte counts as cut. */
static int receive_tun(napi_env env, struct receiver *self) {
  int count = 0;
  for (int retries = 0; count < self->slots;) {
    const struct iovec *slot = &self->iovs[count];
    const ssize_t bytes = read(self->fd, slot->iov_base, slot->iov_len);
    if (bytes >= VIRTIO_HEADER) {
      describe_frame(self, count++, (int32_t)bytes, (size_t)bytes == slot->iov_len);
    } else if (bytes < 0 && errno == EAGAIN) {
      break;
    } else if (bytes < 0 && (errno == EBADF || errno == EBADFD)) {
      if (count > 0) break; /* what came before is handed over, the next call throws */
      throw_errno(env, errno, "read", "TUN", NULL);
      return -1;
    } else if (++retries == RETRIES) {
      break;
    }
  }
  return count;
}

static void describe_peer(int32_t *record, const union address *peer) {
  int32_t *words = record + RX_PEER;
  if (peer->any.sa_family == AF_INET) {
    words[2] = 0xffff;
    words[3] = (int32_t)ntohl(peer->v4.sin_addr.s_addr);
  } else if (peer->any.sa_family == AF_INET6) {
    for (int i = 0; i < 4; i++) {
      uint32_t word;
      memcpy(&word, peer->v6.sin6_addr.s6_addr + 4 * i, sizeof word);
      words[i] = (int32_t)ntohl(word);
    }
  }
}

static void describe_control(int32_t *record, struct msghdr *header) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
    const size_t length = c->cmsg_len - CMSG_LEN(0);
    int value = 0;
    memcpy(&value, CMSG_DATA(c), length < sizeof value ? length : sizeof value);
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
      record[RX_TRAFFIC_CLASS] = *CMSG_DATA(c); /* one byte, unlike all others */
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
      record[RX_TRAFFIC_CLASS] = value & 0xff;
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO && value < record[RX_LENGTH]) {
      record[RX_GSO_SIZE] = value;
    }
  }
}

static int receive_gue(napi_env env, struct receiver *self) {
  for (int i = 0; i < self->used; i++) {
    self->messages[i].msg_hdr.msg_namelen = sizeof self->peers[i];
    self->messages[i].msg_hdr.msg_controllen = sizeof self->controls[i];
  }
  self->used = self->slots; /* an interrupted call may have changed any of them */
  const int count = receive_messages(env, self, self->slots);
  if (count >= 0) self->used = count < self->slots ? count + 1 : count;
  for (int i = 0; i < count; i++) {
    struct mmsghdr *message = &self->messages[i];
    int32_t *record = clear_record(self, i, packet_offset(self, i), (int32_t)message->msg_len);
    if (message->msg_hdr.msg_flags & MSG_TRUNC) record[RX_FLAGS] |= RX_TRUNCATED;
    describe_peer(record, &self->peers[i]);
    describe_control(record, &message->msg_hdr);
  }
  return count;
}

static void release(void *data) {
  struct receiver *self = data;
  free(self->messages);
  free(self->iovs);
  free(self->peers);
  free(self->controls);
}

/* Points every message at its slot; with a virtio header in front of the packet, in the headroom. */
static bool prepare(struct receiver *self, bool gue, bool virtio) {
  const size_t slots = (size_t)self->slots;
  self->messages = calloc(slots, sizeof *self->messages);
  self->iovs = calloc(slots, sizeof *self->iovs);
  self->peers = gue ? calloc(slots, sizeof *self->peers) : NULL;
  self->controls = gue ? calloc(slots, sizeof *self->controls) : NULL;
  if (self->messages == NULL || self->iovs == NULL || (gue && (self->peers == NULL || self->controls == NULL))) return false;
  const int32_t before = virtio ? VIRTIO_HEADER : 0;
  for (int i = 0; i < self->slots; i++) {
    struct msghdr *header = &self->messages[i].msg_hdr;
    self->iovs[i].iov_base = self->pool + packet_offset(self, i) - before;
    self->iovs[i].iov_len = (size_t)(self->slot_size - HEADROOM + before);
    header->msg_iov = &self->iovs[i];
    header->msg_iovlen = 1;
    if (gue) {
      header->msg_name = &self->peers[i];
      header->msg_control = &self->controls[i];
    }
  }
  self->used = self->slots;
  return true;
}

/* createReceiver(kind, fd, pool, first, slotSize, slots, records) */
napi_value create_receiver(napi_env env, napi_callback_info info) {
  napi_value arguments[7];
  char kind[8];
  struct bytes pool;
  struct words records;
  int32_t fd, first, slot_size, slots;
  if (!take_arguments(env, info, 7, arguments) || !take_text(env, arguments[0], "kind", kind, sizeof kind) ||
      !take_int(env, arguments[1], "fd", 0, INT32_MAX, &fd) || !take_bytes(env, arguments[2], "pool", &pool) ||
      !take_int(env, arguments[3], "first", 0, INT32_MAX, &first) ||
      !take_int(env, arguments[4], "slotSize", HEADROOM + 64, INT32_MAX, &slot_size) ||
      !take_int(env, arguments[5], "slots", 1, 65536, &slots) || !take_words(env, arguments[6], "records", &records)) {
    return NULL;
  }
  const bool gue = strcmp(kind, "gue") == 0, tun = strcmp(kind, "tun") == 0, reply = strcmp(kind, "reply") == 0;
  if (!gue && !tun && !reply && strcmp(kind, "packet") != 0) {
    return throw_range(env, "kind: \"%s\" is none of packet, reply, tun, gue", kind);
  }
  if ((int64_t)first + (int64_t)slots * slot_size > (int64_t)pool.length) return throw_range(env, "slots reach beyond the pool");
  if (records.length < (size_t)slots * RX_STRIDE) return throw_range(env, "records: room for fewer than %d", slots);

  struct receiver *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  self->handle.kind = HANDLE_RECEIVER;
  self->handle.release = release;
  self->receive = gue ? receive_gue : tun ? receive_tun : reply ? receive_network : receive_packets;
  self->fd = fd;
  self->slots = slots;
  self->first = first;
  self->slot_size = slot_size;
  self->pool = pool.data;
  self->records = records.data;
  if (!prepare(self, gue, !gue && !reply)) {
    handle_free(env, &self->handle);
    return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  }
  if (!handle_keep(env, &self->handle, arguments[2]) || !handle_keep(env, &self->handle, arguments[6])) {
    handle_free(env, &self->handle);
    return NULL;
  }
  return handle_wrap(env, &self->handle);
}

static struct receiver *take_receiver(napi_env env, napi_value value) {
  struct handle *handle = take_handle(env, value);
  if (handle == NULL) return NULL;
  if (handle->kind == HANDLE_RECEIVER) return (struct receiver *)handle;
  throw_type(env, "not a receiver");
  return NULL;
}

/* Gives every message a second part: the end of the large slot that is its in turn. */
static bool add_parts(struct receiver *self) {
  struct iovec *iovs = calloc((size_t)self->slots * 2, sizeof *iovs);
  if (iovs == NULL) return false;
  for (int i = 0; i < self->slots; i++) {
    struct iovec *parts = iovs + (size_t)i * 2;
    parts[0] = self->iovs[i];
    parts[1].iov_base = self->pool + self->large_first + (i % self->large) * self->large_size + self->slot_size;
    parts[1].iov_len = (size_t)(self->large_size - self->slot_size);
    self->messages[i].msg_hdr.msg_iov = parts;
    self->messages[i].msg_hdr.msg_iovlen = 2;
  }
  free(self->iovs);
  self->iovs = iovs;
  return true;
}

/* addLargeSlots(receiver, pool, first, size, slots) */
napi_value add_large_slots(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  struct bytes pool;
  int32_t first, size, slots;
  if (!take_arguments(env, info, 5, arguments)) return NULL;
  struct receiver *self = take_receiver(env, arguments[0]);
  if (self == NULL || !take_bytes(env, arguments[1], "pool", &pool) || !take_int(env, arguments[2], "first", 0, INT32_MAX, &first) ||
      !take_int(env, arguments[3], "size", self->slot_size + 1, INT32_MAX, &size) ||
      !take_int(env, arguments[4], "slots", 1, LARGE_MOST, &slots)) {
    return NULL;
  }
  if (pool.data != self->pool) return throw_range(env, "not the receiver's pool");
  if (self->receive != receive_packets || self->large != 0) return throw_range(env, "large slots are for a packet socket, once");
  if ((int64_t)first + (int64_t)slots * size > (int64_t)pool.length) return throw_range(env, "large slots reach beyond the pool");
  self->large = slots;
  self->large_first = first;
  self->large_size = size;
  if (!add_parts(self)) {
    self->large = 0;
    return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  }
  return make_undefined(env);
}

/* receive(receiver) */
napi_value receive_burst(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  if (!take_arguments(env, info, 1, arguments)) return NULL;
  struct receiver *self = take_receiver(env, arguments[0]);
  if (self == NULL) return NULL;
  const int count = self->receive(env, self);
  return count < 0 ? NULL : make_int(env, count);
}
