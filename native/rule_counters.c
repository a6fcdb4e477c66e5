/*
 * Counting in the kernel: AF_PACKET sockets that nobody reads, of which a classic BPF program picks one for each frame
 * (PACKET_FANOUT_CBPF). What a socket is picked for it counts (PACKET_STATISTICS), whether there is room for it or not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <unistd.h>

#include "addon.h"

#ifndef PACKET_FANOUT_FLAG_UNIQUEID
#define PACKET_FANOUT_FLAG_UNIQUEID 0x2000
#endif

/* The kernel's default for the members of a group. */
#define MEMBERS_MOST 256

static const struct sock_filter TAKE_NOTHING = {.code = BPF_RET | BPF_K, .k = 0};
/* One byte of each frame, so that what waits for ever holds little. */
static const struct sock_filter TAKE_ALL = {.code = BPF_RET | BPF_K, .k = 1};

static bool attach_one(napi_env env, int fd, const struct sock_filter *instruction, const char *device) {
  struct sock_filter copy = *instruction;
  const struct bytes program = {(uint8_t *)&copy, sizeof copy};
  return attach_filter(env, fd, &program, device);
}

/* Joins the group that `first` has made, or makes one when it is `first` itself. The place in it is the order of joining. */
static bool join(napi_env env, int fd, int first, const char *device) {
  int group = (PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
  socklen_t length = sizeof group;
  if (fd != first && getsockopt(first, SOL_PACKET, PACKET_FANOUT, &group, &length) != 0) {
    throw_errno(env, errno, "getsockopt", "PACKET_FANOUT", device);
    return false;
  }
  if (fd != first) group = (group & 0xffff) | PACKET_FANOUT_CBPF << 16;
  return set_option(env, fd, SOL_PACKET, PACKET_FANOUT, group, "PACKET_FANOUT", device);
}

static int open_member(napi_env env, unsigned index, int first, const char *device) {
  const struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    throw_errno(env, errno, "socket", "AF_PACKET", device);
    return -1;
  }
  bool good = set_option(env, fd, SOL_SOCKET, SO_RCVBUF, 1, "SO_RCVBUF", device) && attach_one(env, fd, &TAKE_NOTHING, device);
  if (good && bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
    throw_errno(env, errno, "bind", "AF_PACKET", device);
    good = false;
  }
  if (good && join(env, fd, first < 0 ? fd : first, device)) return fd;
  close(fd);
  return -1;
}

static bool attach_choice(napi_env env, int fd, const struct bytes *program, const char *device) {
  struct sock_filter copy[BPF_MAXINSNS];
  const size_t count = program->length / sizeof *copy;
  if (count == 0 || count > BPF_MAXINSNS || program->length % sizeof *copy != 0) {
    throw_range(env, "program: %zu bytes are not 1 to %d instructions", program->length, BPF_MAXINSNS);
    return false;
  }
  for (size_t i = 0; i < program->length; i++) ((uint8_t *)copy)[i] = program->data[i];
  const struct sock_fprog attach = {.len = (unsigned short)count, .filter = copy};
  if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &attach, sizeof attach) == 0) return true;
  throw_errno(env, errno, "setsockopt", "PACKET_FANOUT_DATA", device);
  return false;
}

/*
 * Puts the members to work: the first takes what the program gives to none of the others, and counts nothing. A group without a
 * program gives it all; setting its first one waits for nobody (replacing one waits for RCU, and the frames meanwhile are counted).
 */
static bool start(napi_env env, const int *fds, int32_t count, const struct bytes *program, const char *device) {
  for (int32_t i = 1; i <= count; i++) {
    if (!attach_one(env, fds[i], &TAKE_ALL, device)) return false;
  }
  return attach_choice(env, fds[0], program, device);
}

/* openFrameCounters(device, count, program) */
napi_value open_frame_counters(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL;
  char device[IF_NAMESIZE];
  int32_t count;
  struct bytes program;
  int fds[MEMBERS_MOST] = {-1};
  if (!take_arguments(env, info, 3, arguments) || !take_text(env, arguments[0], "device", device, sizeof device) ||
      !take_int(env, arguments[1], "count", 1, MEMBERS_MOST - 1, &count) || !take_bytes(env, arguments[2], "program", &program)) {
    return NULL;
  }
  const unsigned index = if_nametoindex(device);
  if (index == 0) return throw_errno(env, errno, "if_nametoindex", NULL, device);
  int32_t opened = 0;
  while (opened <= count && (fds[opened] = open_member(env, index, opened == 0 ? -1 : fds[0], device)) >= 0) opened++;
  if (opened == count + 1 && start(env, fds, count, &program, device)) result = make_list(env, fds, count + 1);
  if (result == NULL) {
    while (opened > 0) close(fds[--opened]);
  }
  return result;
}
