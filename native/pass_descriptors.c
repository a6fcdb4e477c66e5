/*
 * Open files handed to another process over a UNIX stream socket (SCM_RIGHTS, unix(7)). What arrives is the same open file
 * description: what is queued in a socket, its place in a fanout group, a lock live on without a gap.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"

/* Descriptors that the kernel takes in one message (SCM_MAX_FD). */
#define MESSAGE_MOST 253
/* More than any agent has. */
#define DESCRIPTORS_MOST 4096

union control {
  struct cmsghdr align;
  uint8_t bytes[CMSG_SPACE(MESSAGE_MOST * sizeof(int))];
};

/* One message: a byte, since descriptors do not go alone, and the descriptors. 0 or an errno. */
static int send_some(int fd, const int32_t *descriptors, size_t count) {
  union control control = {0};
  uint8_t byte = 0;
  struct iovec part = {&byte, sizeof byte};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

/* sendDescriptors(fd, descriptors) */
napi_value send_descriptors(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t fd;
  struct words descriptors;
  if (!take_arguments(env, info, 2, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd) ||
      !take_words(env, arguments[1], "descriptors", &descriptors)) {
    return NULL;
  }
  for (size_t sent = 0; sent < descriptors.length;) {
    const size_t left = descriptors.length - sent, count = left < MESSAGE_MOST ? left : MESSAGE_MOST;
    const int error = send_some(fd, descriptors.data + sent, count);
    if (error != 0) return throw_errno(env, error, "sendmsg", "SCM_RIGHTS", NULL);
    sent += count;
  }
  return make_undefined(env);
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Adds the descriptors of one message to those received; what is beyond `most` is closed. False when some got lost on the way. */
static bool keep_some(struct msghdr *message, int32_t *received, int32_t *count, int32_t most) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      if (*count < most) received[(*count)++] = fd;
      else close(fd);
    }
  }
  /* The kernel leaves out what does not fit below the limit of open files. */
  return (message->msg_flags & MSG_CTRUNC) == 0;
}

/* Receives until `wanted` have come. 0 or an errno; `count` have come then. */
static int receive_all(int fd, int32_t *received, int32_t *count, int32_t wanted, int64_t until) {
  while (*count < wanted) {
    union control control;
    uint8_t byte;
    struct iovec part = {&byte, sizeof byte};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    const ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got == 0) return ECONNRESET;
    if (got > 0) {
      if (!keep_some(&message, received, count, wanted)) return EMFILE;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return errno;
    const int64_t left = until - now_ms();
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (left <= 0 || (poll(&readable, 1, (int)left) < 0 && errno != EINTR)) return left <= 0 ? ETIMEDOUT : errno;
  }
  return 0;
}

/* A socket connected to `path` that has sent `request`; -1 after throwing. */
static int open_connection(napi_env env, const char *path, const char *request) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t length = strlen(request);
  memcpy(address.sun_path, path, strlen(path) + 1);
  /* Not waiting: a connection is there at once or refused, and a new socket has room for a line. */
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    throw_errno(env, errno, "socket", "UNIX", path);
    return -1;
  }
  const char *failed = NULL;
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) failed = "connect";
  else if (send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length) failed = "send";
  if (failed == NULL) return fd;
  throw_errno(env, errno, failed, "UNIX", path);
  close(fd);
  return -1;
}

/* receiveDescriptors(path, request, count, timeoutMs) */
napi_value receive_descriptors(napi_env env, napi_callback_info info) {
  napi_value arguments[4], result = NULL;
  char path[sizeof((struct sockaddr_un *)0)->sun_path], request[256];
  int32_t wanted, timeout, count = 0;
  if (!take_arguments(env, info, 4, arguments) || !take_text(env, arguments[0], "path", path, sizeof path) ||
      !take_text(env, arguments[1], "request", request, sizeof request) ||
      !take_int(env, arguments[2], "count", 1, DESCRIPTORS_MOST, &wanted) ||
      !take_int(env, arguments[3], "timeoutMs", 0, INT32_MAX, &timeout)) {
    return NULL;
  }
  const int64_t until = now_ms() + timeout;
  int32_t *received = calloc((size_t)wanted, sizeof *received);
  if (received == NULL) return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  const int fd = open_connection(env, path, request);
  if (fd >= 0) {
    const int error = receive_all(fd, received, &count, wanted, until);
    close(fd);
    if (error == 0) result = make_list(env, received, count);
    else throw_errno(env, error, "recvmsg", "SCM_RIGHTS", path);
  }
  if (result == NULL) {
    while (count > 0) close(received[--count]);
  }
  free(received);
  return result;
}

/* peerCredentials(fd): [pid, uid] */
napi_value peer_credentials(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t fd;
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd)) return NULL;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return throw_errno(env, errno, "getsockopt", "SO_PEERCRED", NULL);
  const int32_t both[] = {(int32_t)peer.pid, (int32_t)peer.uid};
  return make_list(env, both, 2);
}
