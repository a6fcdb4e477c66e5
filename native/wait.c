/* Waiting for input, waking a waiter, and where a thread runs. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"

/* As many as fit a positive int32 mask. */
#define WAITED_MOST 31

struct waiter {
  struct handle handle;
  int count;
  uint32_t events; /* which are eventfds, to be drained */
  struct pollfd fds[WAITED_MOST];
};

/* createWake() */
napi_value create_wake(napi_env env, napi_callback_info info) {
  (void)info;
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return fd < 0 ? throw_errno(env, errno, "eventfd", NULL, NULL) : make_int(env, fd);
}

/* wake(fd) */
napi_value wake(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t fd;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd)) return NULL;
  const uint64_t one = 1;
  /* EAGAIN: the counter is full, so the waiter will wake anyway. */
  if (write(fd, &one, sizeof one) < 0 && errno != EAGAIN) return throw_errno(env, errno, "write", "eventfd", NULL);
  return make_undefined(env);
}

/* Anonymous inodes alone have no file type; the descriptors waited for are else sockets and TUN devices. */
static bool is_eventfd(const struct stat *status) {
  return (status->st_mode & S_IFMT) == 0;
}

/* createWaiter(fds) */
napi_value create_waiter(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct words fds;
  if (!take_arguments(env, info, 1, arguments) || !take_words(env, arguments[0], "fds", &fds)) return NULL;
  if (fds.length == 0 || fds.length > WAITED_MOST) return throw_range(env, "fds: %zu, 1 to %d expected", fds.length, WAITED_MOST);
  struct waiter *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  self->handle.kind = HANDLE_WAITER;
  self->count = (int)fds.length;
  for (int i = 0; i < self->count; i++) {
    struct stat status;
    if (fstat(fds.data[i], &status) != 0) {
      const int error = errno;
      handle_free(env, &self->handle);
      return throw_errno(env, error, "fstat", NULL, NULL);
    }
    self->fds[i].fd = fds.data[i];
    self->fds[i].events = POLLIN;
    if (is_eventfd(&status)) self->events |= 1u << i;
  }
  return handle_wrap(env, &self->handle);
}

static int64_t now_ns(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t); /* fails for unknown clocks only */
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*
 * Looks again and again for `busy_us` before it sleeps. In between whoever else is to run on this CPU does: they may be who we have just
 * given something to do, or who have something for us. Who polls for nothing gives nothing up; a worker that had to sleep would, so
 * without busy polling there is no yielding: on a busy CPU it costs whole time slices.
 */
static int poll_patiently(struct waiter *self, int32_t timeout, int32_t busy_us) {
  const int64_t end = busy_us > 0 ? now_ns() + (int64_t)busy_us * 1000 : 0;
  while (busy_us > 0) {
    const int ready = poll(self->fds, (nfds_t)self->count, 0);
    if (ready != 0) return ready;
    if (now_ns() >= end) break;
    sched_yield();
  }
  return poll(self->fds, (nfds_t)self->count, timeout);
}

/* wait(waiter, timeoutMs, busyUs) */
napi_value wait_ready(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t timeout, busy;
  if (!take_arguments(env, info, 3, arguments) || !take_int(env, arguments[1], "timeoutMs", -1, INT32_MAX, &timeout) ||
      !take_int(env, arguments[2], "busyUs", 0, 1000000, &busy)) {
    return NULL;
  }
  struct handle *handle = take_handle(env, arguments[0]);
  if (handle == NULL) return NULL;
  if (handle->kind != HANDLE_WAITER) return throw_type(env, "not a waiter");
  struct waiter *self = (struct waiter *)handle;
  const int ready = poll_patiently(self, timeout, busy);
  if (ready < 0 && errno != EINTR) return throw_errno(env, errno, "poll", NULL, NULL);
  int32_t mask = 0;
  for (int i = 0; ready > 0 && i < self->count; i++) {
    if (self->fds[i].revents == 0) continue;
    if (self->fds[i].revents & POLLNVAL) return throw_errno(env, EBADF, "poll", NULL, NULL);
    /* POLLERR and POLLHUP count as input: the receive that follows tells what is wrong. */
    mask |= (int32_t)(1u << i);
    uint64_t wakes;
    if ((self->events & 1u << i) && read(self->fds[i].fd, &wakes, sizeof wakes) < 0 && errno != EAGAIN) {
      return throw_errno(env, errno, "read", "eventfd", NULL);
    }
  }
  return make_int(env, mask);
}

/* pinThread(cpu) */
napi_value pin_thread(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t cpu;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], "cpu", 0, CPU_SETSIZE - 1, &cpu)) return NULL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return throw_errno(env, errno, "sched_setaffinity", NULL, NULL);
  return make_undefined(env);
}
