/*
 * Trains of datagrams that the kernel does not take in one send: without UDP_SEGMENT, over a device that cannot sum
 * checksums (EIO), or longer than one send may be. They go as shorter trains or as single datagrams, many to a call.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "addon.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define MESSAGES_MOST 64

/* One call's worth of messages under construction. */
struct batch {
  struct mmsghdr messages[MESSAGES_MOST];
  struct gue_control controls[MESSAGES_MOST];
  struct iovec iovs[IOVS_MOST];
  int count;
  size_t iov_count;
};

size_t put_segment_size(struct gue_control *control, size_t used, uint16_t segment_size) {
  struct cmsghdr *header = (struct cmsghdr *)(control->bytes + used);
  header->cmsg_level = IPPROTO_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof segment_size);
  memcpy(CMSG_DATA(header), &segment_size, sizeof segment_size);
  return used + CMSG_SPACE(sizeof segment_size);
}

/* Sends the batch and empties it. Returns how many messages the kernel did not take. */
static int32_t flush(struct sink *sink, int fd, struct batch *batch) {
  int32_t failed = 0;
  for (int done = 0; done < batch->count;) {
    const int sent = sendmmsg(fd, batch->messages + done, (unsigned)(batch->count - done), MSG_DONTWAIT);
    if (sent > 0) {
      done += sent;
      sink->sends += sent;
    } else if (errno != EINTR && (errno != EAGAIN || !sink_wait(sink, fd))) {
      failed++;
      done++;
    }
  }
  batch->count = 0;
  batch->iov_count = 0;
  return failed;
}

/* Moves up to `length` bytes of the gather list at `from` (of which `skip` bytes are used up) into the batch. */
static size_t take(struct batch *batch, const struct iovec **from, const struct iovec *end, size_t *skip, size_t length) {
  size_t taken = 0;
  while (taken < length && *from < end && batch->iov_count < IOVS_MOST) {
    const size_t left = (*from)->iov_len - *skip;
    const size_t part = left < length - taken ? left : length - taken;
    batch->iovs[batch->iov_count].iov_base = (uint8_t *)(*from)->iov_base + *skip;
    batch->iovs[batch->iov_count++].iov_len = part;
    taken += part;
    *skip += part;
    if (*skip == (*from)->iov_len) {
      ++*from;
      *skip = 0;
    }
  }
  return taken;
}

int32_t split_train(struct sink *sink, int fd, const struct msghdr *whole, size_t control_length, int32_t segment_size, int32_t segments) {
  struct batch batch;
  batch.count = 0;
  batch.iov_count = 0;
  const struct iovec *from = whole->msg_iov;
  const struct iovec *const end = from + whole->msg_iovlen;
  const size_t length = (size_t)segment_size * (size_t)segments;
  size_t skip = 0;
  int32_t failed = 0;
  while (from < end) {
    /* A message never needs more pairs than are left of the list, and one for the cut within a pair. */
    if (batch.count == MESSAGES_MOST || batch.iov_count + (size_t)(end - from) > IOVS_MOST) failed += flush(sink, fd, &batch);
    struct mmsghdr *message = &batch.messages[batch.count];
    struct iovec *first = &batch.iovs[batch.iov_count];
    const size_t bytes = take(&batch, &from, end, &skip, length);
    if (bytes == 0) break; /* empty pairs at the end */
    struct gue_control *control = &batch.controls[batch.count++];
    memset(message, 0, sizeof *message);
    message->msg_hdr.msg_name = whole->msg_name;
    message->msg_hdr.msg_namelen = whole->msg_namelen;
    message->msg_hdr.msg_iov = first;
    message->msg_hdr.msg_iovlen = (size_t)(&batch.iovs[batch.iov_count] - first);
    if (control_length > 0) memcpy(control->bytes, whole->msg_control, control_length);
    message->msg_hdr.msg_controllen = bytes > (size_t)segment_size ? put_segment_size(control, control_length, (uint16_t)segment_size) : control_length;
    message->msg_hdr.msg_control = message->msg_hdr.msg_controllen > 0 ? control : NULL;
  }
  return failed + flush(sink, fd, &batch);
}
