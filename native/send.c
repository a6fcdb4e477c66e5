/* Sending bursts: what GUE, TUN and raw sinks have in common. */
#include <errno.h>
#include <poll.h>

#include "addon.h"

bool sink_open(napi_env env, struct sink *sink, napi_value pool, napi_value records, napi_value iovs, napi_value sums) {
  return take_bytes(env, pool, "pool", &sink->pool) && take_words(env, records, "records", &sink->records) &&
         take_words(env, iovs, "iovs", &sink->iovs) && take_words(env, sums, "sums", &sink->sums) &&
         handle_keep(env, &sink->handle, pool) && handle_keep(env, &sink->handle, records) && handle_keep(env, &sink->handle, iovs) &&
         handle_keep(env, &sink->handle, sums);
}

int64_t sink_gather(const struct sink *sink, int32_t start, int32_t count, int32_t iov_count, struct iovec *out) {
  if (start < 0 || count <= 0 || count > IOVS_MOST || start > iov_count || count > iov_count - start) return -1;
  const int32_t *pair = sink->iovs.data + (size_t)start * 2;
  int64_t total = 0;
  for (int32_t i = 0; i < count; i++, pair += 2) {
    if (pair[0] < 0 || pair[1] < 0 || (size_t)pair[0] + (size_t)pair[1] > sink->pool.length) return -1;
    out[i].iov_base = sink->pool.data + pair[0];
    out[i].iov_len = (size_t)pair[1];
    total += pair[1];
  }
  return total;
}

bool sink_wait(struct sink *sink, int fd) {
  if (sink->waited) return false;
  sink->waited = true;
  struct pollfd room = {.fd = fd, .events = POLLOUT};
  return poll(&room, 1, 1) > 0;
}

/* send(sink, count, iovCount, sumCount) */
napi_value send_burst(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t count, iov_count, sum_count;
  if (!take_arguments(env, info, 4, arguments)) return NULL;
  struct handle *handle = take_handle(env, arguments[0]);
  if (handle == NULL) return NULL;
  if (handle->kind < HANDLE_GUE_SINK || handle->kind > HANDLE_RAW_SINK) return throw_type(env, "not a sink");
  struct sink *sink = (struct sink *)handle;
  _Static_assert(TX_STRIDE == UP_STRIDE, "one capacity for both kinds of record");
  if (!take_int(env, arguments[1], "count", 0, (int32_t)(sink->records.length / TX_STRIDE), &count) ||
      !take_int(env, arguments[2], "iovCount", 0, (int32_t)(sink->iovs.length / 2), &iov_count) ||
      !take_int(env, arguments[3], "sumCount", 0, (int32_t)(sink->sums.length / SUM_STRIDE), &sum_count)) {
    return NULL;
  }
  /* A wrong job is left out: its packet then goes with a wrong checksum, which its receiver drops. */
  for (int32_t i = 0; i < sum_count; i++) {
    const int32_t *job = sink->sums.data + (size_t)i * SUM_STRIDE;
    if (sum_job_valid(job, sink->pool.length)) sum_job_run(job, sink->pool.data);
  }
  sink->waited = false;
  sink->sends = 0;
  return make_int(env, count == 0 ? 0 : sink->send(sink, count, iov_count));
}
