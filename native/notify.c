/* A datagram to a UNIX socket, which Node cannot send: how a service manager is told of the state of a service (sd_notify(3)). */
#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "addon.h"

/* notify(path, message) */
napi_value notify(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char message[4096];
  if (!take_arguments(env, info, 2, arguments) ||
      !take_text(env, arguments[0], "path", address.sun_path, sizeof address.sun_path) ||
      !take_text(env, arguments[1], "message", message, sizeof message)) {
    return NULL;
  }
  const size_t length = strlen(message), path = strlen(address.sun_path);
  const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path);
  char name[sizeof address.sun_path];
  memcpy(name, address.sun_path, path + 1);
  if (name[0] == '@') address.sun_path[0] = '\0'; /* an abstract one, unix(7) */
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "UNIX", name);
  const ssize_t sent = sendto(fd, message, length, MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
  const int error = errno;
  close(fd);
  return sent < 0 ? throw_errno(env, error, "sendto", "UNIX", name) : make_undefined(env);
}
