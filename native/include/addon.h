/*
 * What the files of the addon share. Nothing here is global and mutable: the addon is loaded once per thread, and a
 * handle belongs to the thread that made it.
 */
#ifndef HAFL_ADDON_H
#define HAFL_ADDON_H

#include <netinet/in.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "layout.h"

/* error.c: every function throws and returns NULL, so that a callback can end with `return throw_...`. */

/*
 * An Error with `code` (errno name) and `syscall`; message "call(what) on where: CODE: remedy". `what` and `where` may
 * be NULL. Without a remedy for this call and error the system's own text stands there.
 */
napi_value throw_errno(napi_env env, int error, const char *call, const char *what, const char *where);
napi_value throw_type(napi_env env, const char *format, ...) __attribute__((format(printf, 2, 3)));
napi_value throw_range(napi_env env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* arguments.c: each returns false after throwing. Pointers stay valid while the array lives and is not detached. */

struct bytes {
  uint8_t *data;
  size_t length;
};

struct words {
  int32_t *data;
  size_t length;
};

bool take_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);
bool take_int(napi_env env, napi_value value, const char *name, int32_t least, int32_t most, int32_t *out);
bool take_bool(napi_env env, napi_value value, const char *name, bool *out);
bool take_text(napi_env env, napi_value value, const char *name, char *out, size_t size);
bool take_bytes(napi_env env, napi_value value, const char *name, struct bytes *out);
bool take_words(napi_env env, napi_value value, const char *name, struct words *out);
napi_value make_int(napi_env env, int32_t value);
napi_value make_bool(napi_env env, bool value);
napi_value make_undefined(napi_env env);
/* An array of numbers. */
napi_value make_list(napi_env env, const int32_t *values, int32_t count);

/* handle.c: the first member of everything that JavaScript holds as a NativeHandle. */

enum handle_kind {
  HANDLE_RECEIVER = 0x68615201, /* not small numbers, so that another addon's external is not taken for one */
  HANDLE_GUE_SINK,
  HANDLE_TUN_SINK,
  HANDLE_RAW_SINK,
  HANDLE_WAITER,
  HANDLE_SOCKET_LOOKUP /* the last: take_handle() knows the range */
};

struct handle {
  enum handle_kind kind;
  void (*release)(void *self); /* frees what the handle owns beyond itself; may be NULL */
  napi_ref kept[5];
  unsigned kept_count;
};

/* Makes `value` live as long as the handle. False after throwing. */
bool handle_keep(napi_env env, struct handle *handle, napi_value value);
/* Hands `handle` (allocated with malloc) to JavaScript; on failure it is freed and NULL returned. */
napi_value handle_wrap(napi_env env, struct handle *handle);
/* Frees a handle that was not wrapped. */
void handle_free(napi_env env, struct handle *handle);
/* NULL after throwing when `value` is no handle. */
struct handle *take_handle(napi_env env, napi_value value);

/* socket.c: each returns false after throwing, `where` names the device or address in the message. */

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/* Parses a textual IPv4 or IPv6 address. */
bool parse_address(napi_env env, const char *text, int32_t port, union address *out, socklen_t *length);
/* setsockopt with an int; `name` is the option as text. */
bool set_option(napi_env env, int fd, int level, int option, int value, const char *name, const char *where);
/* Receive buffer of `bytes`, beyond net.core.rmem_max where the capability allows; 0 leaves the default. */
bool set_receive_buffer(napi_env env, int fd, int32_t bytes, const char *where);
/* Attaches or replaces a classic BPF program given as bytes (struct sock_filter each 8). */
bool attach_filter(napi_env env, int fd, const struct bytes *program, const char *where);

/* checksum.c */

/* Whether every range and the field of a job lie in a pool of `length` bytes. */
bool sum_job_valid(const int32_t *job, size_t length);
void sum_job_run(const int32_t *job, uint8_t *pool);

/* send.c: what the sinks have in common. */

struct sink {
  struct handle handle;
  struct bytes pool;
  struct words records, iovs, sums;
  /* Sends `count` messages whose gather pairs are below `iov_count`; returns how many the kernel did not take. */
  int32_t (*send)(struct sink *self, int32_t count, int32_t iov_count);
  bool waited; /* one wait for room per burst is enough */
  int32_t sends; /* messages that the kernel took in the last call */
};

/* The arguments every sink has, checked and kept alive. */
bool sink_open(napi_env env, struct sink *sink, napi_value pool, napi_value records, napi_value iovs, napi_value sums);
/*
 * Turns `count` gather pairs from `start` into iovecs. Returns the bytes they hold, -1 when a pair is not below
 * `iov_count`, lies outside the pool, or there are more than the kernel takes in one call.
 */
int64_t sink_gather(const struct sink *sink, int32_t start, int32_t count, int32_t iov_count, struct iovec *out);
/* Waits up to a millisecond for room in a socket's or device's queue, once per burst. Whether a retry makes sense. */
bool sink_wait(struct sink *sink, int fd);

/* gue_send.c, split.c */

/* Destination and control messages of one GUE message, laid out once per record. */
struct gue_control {
  _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
};

/* The most datagrams the kernel takes in one UDP_SEGMENT send (64 before Linux 6.9, then 128). */
#define SEGMENTS_MOST 64
/* The most payload of one UDP send over IPv4: 65535 less IP and UDP header. */
#define PAYLOAD_MOST 65507
/* Gather pairs in one call (UIO_MAXIOV). */
#define IOVS_MOST 1024

/*
 * Sends a train as messages of at most `segments` datagrams each, in order. `whole` carries destination, gather list and
 * control messages, of which `control_length` bytes come before the UDP_SEGMENT one. Returns how many messages the kernel did
 * not take; later ones are still tried.
 */
int32_t split_train(struct sink *sink, int fd, const struct msghdr *whole, size_t control_length, int32_t segment_size, int32_t segments);
/* Appends a UDP_SEGMENT control message at `control + used`; returns the length then. */
size_t put_segment_size(struct gue_control *control, size_t used, uint16_t segment_size);

/* The functions of src/io/native.ts. */
napi_value open_packet_socket(napi_env env, napi_callback_info info);
napi_value open_reply_socket(napi_env env, napi_callback_info info);
napi_value set_filter(napi_env env, napi_callback_info info);
napi_value packet_statistics(napi_env env, napi_callback_info info);
napi_value open_tun(napi_env env, napi_callback_info info);
napi_value open_frame_counters(napi_env env, napi_callback_info info);
napi_value compile_filter(napi_env env, napi_callback_info info);
napi_value run_filter(napi_env env, napi_callback_info info);
napi_value open_gue_receiver(napi_env env, napi_callback_info info);
napi_value open_gue_sender(napi_env env, napi_callback_info info);
napi_value test_offloads(napi_env env, napi_callback_info info);
napi_value has_udp_segment(napi_env env, napi_callback_info info);
napi_value close_descriptor(napi_env env, napi_callback_info info);
napi_value create_receiver(napi_env env, napi_callback_info info);
napi_value add_large_slots(napi_env env, napi_callback_info info);
napi_value receive_burst(napi_env env, napi_callback_info info);
napi_value create_gue_sink(napi_env env, napi_callback_info info);
napi_value create_tun_sink(napi_env env, napi_callback_info info);
napi_value open_raw_sender(napi_env env, napi_callback_info info);
napi_value create_raw_sink(napi_env env, napi_callback_info info);
napi_value send_burst(napi_env env, napi_callback_info info);
napi_value sum_checksums(napi_env env, napi_callback_info info);
napi_value verify_checksums(napi_env env, napi_callback_info info);
napi_value open_sock_diag(napi_env env, napi_callback_info info);
napi_value create_socket_lookup(napi_env env, napi_callback_info info);
napi_value look_up_sockets(napi_env env, napi_callback_info info);
napi_value create_wake(napi_env env, napi_callback_info info);
napi_value wake(napi_env env, napi_callback_info info);
napi_value create_waiter(napi_env env, napi_callback_info info);
napi_value wait_ready(napi_env env, napi_callback_info info);
napi_value map_file(napi_env env, napi_callback_info info);
napi_value lock_file(napi_env env, napi_callback_info info);
napi_value pin_thread(napi_env env, napi_callback_info info);
napi_value send_descriptors(napi_env env, napi_callback_info info);
napi_value receive_descriptors(napi_env env, napi_callback_info info);
napi_value peer_credentials(napi_env env, napi_callback_info info);
napi_value socket_drops(napi_env env, napi_callback_info info);
napi_value notify(napi_env env, napi_callback_info info);

/* UDP_SEGMENT as the kernel sees it at run time (gue_socket.c). */
bool kernel_segments(void);

#endif
