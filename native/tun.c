/* TUN devices. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "addon.h"

/* Linux 6.2; the headers may be older than the kernel. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TCP_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
#define ALL_OFFLOADS (TCP_OFFLOADS | TUN_F_USO4 | TUN_F_USO6)

/* Super-segments may be read: TCP on every kernel, UDP where it is known (the kernel refuses unknown bits with EINVAL). */
static bool offer_offloads(napi_env env, int fd, const char *name) {
  if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)ALL_OFFLOADS) == 0) return true;
  if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)TCP_OFFLOADS) == 0) return true;
  throw_errno(env, errno, "ioctl", "TUNSETOFFLOAD", name);
  return false;
}

static bool set_up(napi_env env, int fd, const char *name, bool offloads) {
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
  memcpy(request.ifr_name, name, strlen(name) + 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    throw_errno(env, errno, "ioctl", "TUNSETIFF", name);
    return false;
  }
  int header = 10; /* struct virtio_net_hdr without num_buffers */
  if (ioctl(fd, TUNSETVNETHDRSZ, &header) != 0) {
    throw_errno(env, errno, "ioctl", "TUNSETVNETHDRSZ", name);
    return false;
  }
  return !offloads || offer_offloads(env, fd, name);
}

/* openTun(name, offloads) */
napi_value open_tun(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  char name[IF_NAMESIZE];
  bool offloads;
  if (!take_arguments(env, info, 2, arguments) || !take_text(env, arguments[0], "name", name, sizeof name) ||
      !take_bool(env, arguments[1], "offloads", &offloads)) {
    return NULL;
  }
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return throw_errno(env, errno, "open", "TUN", name);
  if (set_up(env, fd, name, offloads)) return make_int(env, fd);
  close(fd);
  return NULL;
}
