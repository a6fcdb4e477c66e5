/* What opening any socket needs, and what all sockets have. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addon.h"

bool parse_address(napi_env env, const char *text, int32_t port, union address *out, socklen_t *length) {
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    *length = sizeof out->v4;
    return true;
  }
  if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons((uint16_t)port);
    *length = sizeof out->v6;
    return true;
  }
  throw_range(env, "%s: not an IPv4 or IPv6 address", text);
  return false;
}

bool set_option(napi_env env, int fd, int level, int option, int value, const char *name, const char *where) {
  if (setsockopt(fd, level, option, &value, sizeof value) == 0) return true;
  throw_errno(env, errno, "setsockopt", name, where);
  return false;
}

bool set_receive_buffer(napi_env env, int fd, int32_t bytes, const char *where) {
  if (bytes == 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0) return true;
  /* Without CAP_NET_ADMIN the kernel gives what net.core.rmem_max allows. */
  return set_option(env, fd, SOL_SOCKET, SO_RCVBUF, bytes, "SO_RCVBUF", where);
}

bool attach_filter(napi_env env, int fd, const struct bytes *program, const char *where) {
  const size_t instructions = program->length / sizeof(struct sock_filter);
  if (program->length % sizeof(struct sock_filter) != 0 || instructions == 0 || instructions > BPF_MAXINSNS) {
    throw_range(env, "filter: %zu bytes are not 1 to %d instructions of %zu bytes", program->length, BPF_MAXINSNS, sizeof(struct sock_filter));
    return false;
  }
  /* A Uint8Array may begin at any address, instructions may not. */
  struct sock_filter *copy = malloc(program->length);
  if (copy == NULL) {
    throw_errno(env, ENOMEM, "malloc", NULL, where);
    return false;
  }
  memcpy(copy, program->data, program->length);
  const struct sock_fprog attach = {.len = (unsigned short)instructions, .filter = copy};
  const int failed = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attach, sizeof attach);
  const int error = errno;
  free(copy);
  if (failed != 0) throw_errno(env, error, "setsockopt", "SO_ATTACH_FILTER", where);
  return failed == 0;
}

/* socketDrops(fd) */
napi_value socket_drops(napi_env env, napi_callback_info info) {
  napi_value arguments[1], result;
  int32_t fd;
  uint32_t memory[SK_MEMINFO_VARS] = {0};
  socklen_t length = sizeof memory;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd)) return NULL;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) != 0) return throw_errno(env, errno, "getsockopt", "SO_MEMINFO", NULL);
  return napi_create_uint32(env, memory[SK_MEMINFO_DROPS], &result) == napi_ok ? result : NULL;
}

/* close(fd) */
napi_value close_descriptor(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t fd;
  if (!take_arguments(env, info, 1, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd)) return NULL;
  /* After EINTR the descriptor is closed on Linux; trying again could close another's. */
  if (close(fd) != 0 && errno != EINTR) return throw_errno(env, errno, "close", NULL, NULL);
  return make_undefined(env);
}
