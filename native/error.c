/* System errors as JavaScript errors: which call, on what, the errno name, and what to do about it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "addon.h"

#define NAME(e) \
  case e:       \
    return #e

static const char *errno_name(int error) {
  switch (error) {
    NAME(E2BIG);
    NAME(EACCES);
    NAME(EADDRINUSE);
    NAME(EADDRNOTAVAIL);
    NAME(EAFNOSUPPORT);
    NAME(EAGAIN);
    NAME(EALREADY);
    NAME(EBADF);
    NAME(EBADFD);
    NAME(EBUSY);
    NAME(ECONNREFUSED);
    NAME(ECONNRESET);
    NAME(EDESTADDRREQ);
    NAME(EEXIST);
    NAME(EFAULT);
    NAME(EFBIG);
    NAME(EHOSTUNREACH);
    NAME(EINTR);
    NAME(EINVAL);
    NAME(EIO);
    NAME(EISDIR);
    NAME(ELOOP);
    NAME(EMFILE);
    NAME(EMSGSIZE);
    NAME(ENAMETOOLONG);
    NAME(ENETDOWN);
    NAME(ENETUNREACH);
    NAME(ENFILE);
    NAME(ENOBUFS);
    NAME(ENODEV);
    NAME(ENOENT);
    NAME(ENOLCK);
    NAME(ENOMEM);
    NAME(ENOPROTOOPT);
    NAME(ENOSPC);
    NAME(ENOSYS);
    NAME(ENOTCONN);
    NAME(ENOTDIR);
    NAME(ENOTSOCK);
    NAME(ENOTTY);
    NAME(ENXIO);
    NAME(EOPNOTSUPP);
    NAME(EPERM);
    NAME(EPIPE);
    NAME(EPROTONOSUPPORT);
    NAME(EROFS);
    NAME(ESOCKTNOSUPPORT);
    NAME(ETIMEDOUT);
    NAME(ETOOMANYREFS);
    NAME(ETXTBSY);
  }
  return "EUNKNOWN";
}

/* First match wins; a NULL matches any call or any detail. */
static const struct {
  const char *call, *what;
  int error;
  const char *remedy;
} REMEDIES[] = {
    {"socket", "AF_PACKET", EPERM, "needs CAP_NET_RAW (run as root or grant the capability)"},
    {"socket", "RAW", EPERM, "needs CAP_NET_RAW (run as root or grant the capability)"},
    {"if_nametoindex", NULL, ENODEV, "the device does not exist"},
    {"setsockopt", "SO_ATTACH_FILTER", ENOMEM, "the filter is too large, raise net.core.optmem_max"},
    {"setsockopt", "SO_ATTACH_FILTER", EINVAL, "not a valid classic BPF program"},
    {"setsockopt", "PACKET_FANOUT", EINVAL, "the fanout group is used by another program or on another device"},
    {"setsockopt", "PACKET_FANOUT", ENOSPC, "the fanout group has as many members as it can"},
    {"setsockopt", "PACKET_IGNORE_OUTGOING", ENOPROTOOPT, "needs Linux 4.20 or newer"},
    {"setsockopt", "SO_REUSEPORT", ENOPROTOOPT, "needs Linux 3.9 or newer"},
    {"recvmmsg", NULL, ENETDOWN, "the device is gone"},
    {"read", "TUN", EBADFD, "the device is gone"},
    {"open", "TUN", ENOENT, "no /dev/net/tun: load the tun module, or give the container the device"},
    {"open", "TUN", ENODEV, "the kernel has no TUN driver: load the tun module"},
    {"open", "TUN", EACCES, "needs read and write access to /dev/net/tun (give the user that: chmod 666, as udev does, or run as root)"},
    {"open", "TUN", EPERM, "the container may not use /dev/net/tun: give it the device"},
    {"ioctl", "TUNSETIFF", EPERM, "needs CAP_NET_ADMIN (run as root or grant the capability)"},
    {"ioctl", "TUNSETIFF", EBUSY, "another program holds the device"},
    {"ioctl", "TUNSETIFF", EINVAL, "the name is taken by a device that is no multi-queue TUN, or is not a valid name"},
    {"ioctl", "TUNSETIFF", E2BIG, "the device has as many queues as it can"},
    {"bind", "UDP", EADDRINUSE, "another program or a tunnel of the kernel holds the port"},
    {"bind", "UDP", EADDRNOTAVAIL, "the address is on no device of this machine"},
    {"bind", "UDP", EACCES, "needs CAP_NET_BIND_SERVICE for a port below 1024"},
    {"socket", "UDP", EAFNOSUPPORT, "the kernel has no support for this address family"},
    {"socket", "SOCK_DIAG", EPROTONOSUPPORT, "the kernel has no sock_diag: load the module"},
    {"sock_diag", "TCP", ENOENT, "the kernel has no tcp_diag: load the module"},
    {"sock_diag", "UDP", ENOENT, "the kernel has no udp_diag: load the module"},
    {"flock", NULL, EWOULDBLOCK, "another process holds the lock"},
    {"connect", "UNIX", ECONNREFUSED, "nobody listens there"},
    {"recvmsg", "SCM_RIGHTS", ECONNRESET, "the other end closed the connection"},
    {"recvmsg", "SCM_RIGHTS", ETIMEDOUT, "nothing came in time"},
    {"mmap", NULL, ENODEV, "the file system cannot map files"},
    {"sched_setaffinity", NULL, EINVAL, "no such CPU, or this process may not use it"},
    {NULL, NULL, EMFILE, "too many open files, raise the limit (ulimit -n)"},
    {NULL, NULL, ENFILE, "too many open files in the system, raise fs.file-max"},
    {NULL, NULL, ENOSPC, "the file system is full"},
    {NULL, NULL, EROFS, "the file system is mounted read-only"},
    {NULL, NULL, ENOENT, "the file or its directory does not exist"},
    {NULL, NULL, EACCES, "no permission (run as root or change the owner)"},
    {NULL, NULL, EPERM, "no permission (run as root)"},
    {NULL, NULL, ENOMEM, "out of memory"},
};

static bool matches(const char *pattern, const char *text) {
  return pattern == NULL || (text != NULL && strcmp(pattern, text) == 0);
}

static const char *remedy(int error, const char *call, const char *what) {
  for (size_t i = 0; i < sizeof REMEDIES / sizeof REMEDIES[0]; i++) {
    if (REMEDIES[i].error == error && matches(REMEDIES[i].call, call) && matches(REMEDIES[i].what, what)) return REMEDIES[i].remedy;
  }
  return strerror(error);
}

napi_value throw_errno(napi_env env, int error, const char *call, const char *what, const char *where) {
  /* flock is the one call whose manual names the error EWOULDBLOCK, which is the same number. */
  const char *name = error == EWOULDBLOCK && strcmp(call, "flock") == 0 ? "EWOULDBLOCK" : errno_name(error);
  char message[512];
  snprintf(message, sizeof message, "%s%s%s%s%s%s: %s: %s", call, what ? "(" : "", what ? what : "", what ? ")" : "", where ? " on " : "",
           where ? where : "", name, remedy(error, call, what));
  napi_value code, text, syscall, thrown;
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) == napi_ok &&
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) == napi_ok &&
      napi_create_string_utf8(env, call, NAPI_AUTO_LENGTH, &syscall) == napi_ok &&
      napi_create_error(env, code, text, &thrown) == napi_ok && napi_set_named_property(env, thrown, "syscall", syscall) == napi_ok) {
    (void)napi_throw(env, thrown); /* fails only when an exception is pending already, which serves as well */
  }
  return NULL;
}

#define THROW_FORMATTED(throw)                           \
  char message[256];                                     \
  va_list arguments;                                     \
  va_start(arguments, format);                           \
  vsnprintf(message, sizeof message, format, arguments); \
  va_end(arguments);                                     \
  (void)throw(env, NULL, message);                       \
  return NULL

napi_value throw_type(napi_env env, const char *format, ...) {
  THROW_FORMATTED(napi_throw_type_error);
}

napi_value throw_range(napi_env env, const char *format, ...) {
  THROW_FORMATTED(napi_throw_range_error);
}
