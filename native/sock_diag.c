/*
 * Whether a socket for exactly a flow exists here, asked of the kernel through NETLINK_SOCK_DIAG, a batch at a time.
 *
 * An exact request (no NLM_F_DUMP) is one hash look-up of the kernel's own (net/ipv4/inet_diag.c, udp_diag.c); states mask
 * and extensions play no part in it. Two things have to be known about it:
 * - It falls back as the look-up for a packet does, TCP to a listener and UDP to an unconnected socket. So what was found
 *   is looked at, not only that something was. TIME_WAIT and half-open connections are in the same hash and are found.
 * - For TCP `src` is this host's end. For UDP it is the other end ("swapped for historical reasons").
 * AF_INET also finds the IPv4 flows of dual-stack AF_INET6 sockets, whose answer has mapped addresses.
 * Interface 0 finds sockets that are bound to no device.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"

/* Words of a query, as src/io/socket-lookup.ts defines them. */
#define QUERY_FAMILY 0
#define QUERY_PROTOCOL 1
#define QUERY_SOURCE 2
#define QUERY_DESTINATION 6
#define QUERY_SOURCE_PORT 10
#define QUERY_DESTINATION_PORT 11
#define QUERY_STRIDE 12

#define ANSWER_NONE 0
#define ANSWER_FOUND 1
#define ANSWER_UNKNOWN 255

/* Requests in one send: 72 KB, which the default send buffer takes. */
#define QUERIES_MOST 1024
/* Answers received in one call. */
#define BURST 64
/* Room for an answer: header and inet_diag_msg are 88 bytes, attributes that follow may be cut off. */
#define REPLY_SIZE 256
/* Queued answers count about 1 KB each; all of the largest batch have to fit. */
#define RECEIVE_BUFFER (4 << 20)

struct request {
  struct nlmsghdr header;
  struct inet_diag_req_v2 body;
};
_Static_assert(sizeof(struct request) == NLMSG_SPACE(sizeof(struct inet_diag_req_v2)), "requests lie end to end");

struct lookup {
  struct handle handle;
  int fd;
  int32_t capacity;
  uint32_t sequence; /* nlmsg_seq of query 0 of the batch in hand: an answer to an earlier batch is below */
  int32_t outstanding;
  const int32_t *queries;
  uint8_t *answers;
  uint8_t *pending; /* by query: asked and not answered */
  struct request *requests;
  struct iovec iovs[BURST];
  struct mmsghdr messages[BURST];
  _Alignas(struct nlmsghdr) uint8_t replies[BURST][REPLY_SIZE];
};

static ssize_t send_all(int fd, const void *data, size_t length) {
  ssize_t sent;
  do sent = send(fd, data, length, 0);
  while (sent < 0 && errno == EINTR);
  return sent;
}

/* 0 when the kernel can look up sockets of a protocol, else an errno. Asks for a list of sockets in no state at all. */
static int probe(int fd, uint8_t protocol) {
  struct request request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = protocol},
      .body = {.sdiag_family = AF_INET, .sdiag_protocol = protocol}};
  if (send_all(fd, &request, sizeof request) < 0) return errno;
  for (;;) {
    _Alignas(struct nlmsghdr) uint8_t reply[8192];
    const ssize_t length = recv(fd, reply, sizeof reply, MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return errno == EAGAIN ? 0 : errno;
    const struct nlmsghdr *header = (const struct nlmsghdr *)reply;
    if ((size_t)length < sizeof *header + sizeof(int32_t) || (header->nlmsg_type != NLMSG_DONE && header->nlmsg_type != NLMSG_ERROR)) continue;
    int32_t error;
    memcpy(&error, NLMSG_DATA(header), sizeof error);
    return error < 0 ? -error : 0;
  }
}

static bool set_up(napi_env env, int fd) {
  const int on = 1;
  /* Connected to the kernel: what other processes send is refused. */
  const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (connect(fd, (const struct sockaddr *)&kernel, sizeof kernel) != 0) {
    throw_errno(env, errno, "connect", "SOCK_DIAG", NULL);
    return false;
  }
  /* Errors without a copy of the request; kernels before 4.3 add it, which does no harm. */
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  if (!set_receive_buffer(env, fd, RECEIVE_BUFFER, "sock_diag")) return false;
  /* A kernel without tcp_diag or udp_diag says ENOENT to every request, which would read as "no such socket". */
  int error = probe(fd, IPPROTO_TCP);
  if (error != 0) throw_errno(env, error, "sock_diag", "TCP", NULL);
  if (error == 0 && (error = probe(fd, IPPROTO_UDP)) != 0) throw_errno(env, error, "sock_diag", "UDP", NULL);
  return error == 0;
}

/* openSockDiag() */
napi_value open_sock_diag(napi_env env, napi_callback_info info) {
  (void)info;
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return throw_errno(env, errno, "socket", "SOCK_DIAG", NULL);
  if (set_up(env, fd)) return make_int(env, fd);
  close(fd);
  return NULL;
}

static void release_lookup(void *self) {
  struct lookup *lookup = self;
  free(lookup->pending);
  free(lookup->requests);
}

/* createSocketLookup(fd, queries, answers) */
napi_value create_socket_lookup(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t fd;
  struct words queries;
  struct bytes answers;
  if (!take_arguments(env, info, 3, arguments) || !take_int(env, arguments[0], "fd", 0, INT32_MAX, &fd) ||
      !take_words(env, arguments[1], "queries", &queries) || !take_bytes(env, arguments[2], "answers", &answers)) {
    return NULL;
  }
  const size_t capacity = queries.length / QUERY_STRIDE;
  if (capacity == 0 || capacity > QUERIES_MOST) return throw_range(env, "queries: room for %zu, 1 to %d expected", capacity, QUERIES_MOST);
  if (answers.length < capacity) return throw_range(env, "answers: room for fewer than %zu", capacity);
  struct lookup *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  self->handle.kind = HANDLE_SOCKET_LOOKUP;
  self->handle.release = release_lookup;
  self->fd = fd;
  self->capacity = (int32_t)capacity;
  self->queries = queries.data;
  self->answers = answers.data;
  self->pending = calloc(capacity, sizeof *self->pending);
  self->requests = calloc(capacity, sizeof *self->requests);
  /* Not 0: another look-up on the same descriptor may have left answers behind. */
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  self->sequence = (uint32_t)now.tv_sec * 1000000000u + (uint32_t)now.tv_nsec;
  for (int i = 0; i < BURST; i++) {
    self->iovs[i] = (struct iovec){self->replies[i], REPLY_SIZE};
    self->messages[i].msg_hdr = (struct msghdr){.msg_iov = &self->iovs[i], .msg_iovlen = 1};
  }
  if (self->pending == NULL || self->requests == NULL) {
    handle_free(env, &self->handle);
    return throw_errno(env, ENOMEM, "malloc", NULL, NULL);
  }
  if (!handle_keep(env, &self->handle, arguments[1]) || !handle_keep(env, &self->handle, arguments[2])) {
    handle_free(env, &self->handle);
    return NULL;
  }
  return handle_wrap(env, &self->handle);
}

/* An address as sock_diag has it: IPv4 in the first word, the rest zero. */
static void put_address(__be32 *out, const int32_t *words, int32_t family) {
  for (int i = 0; i < 4; i++) out[i] = family == 6 ? htonl((uint32_t)words[i]) : 0;
  if (family == 4) out[0] = htonl((uint32_t)words[3]);
}

static bool answerable(const int32_t *query) {
  return (query[QUERY_FAMILY] == 4 || query[QUERY_FAMILY] == 6) &&
         (query[QUERY_PROTOCOL] == IPPROTO_TCP || query[QUERY_PROTOCOL] == IPPROTO_UDP);
}

static void put_request(const struct lookup *self, int32_t index, struct request *out) {
  const int32_t *query = self->queries + (size_t)index * QUERY_STRIDE;
  const int32_t family = query[QUERY_FAMILY];
  struct inet_diag_sockid *id = &out->body.id;
  *out = (struct request){
      .header = {.nlmsg_len = sizeof *out, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = self->sequence + (uint32_t)index},
      .body = {.sdiag_family = family == 4 ? AF_INET : AF_INET6,
               .sdiag_protocol = (uint8_t)query[QUERY_PROTOCOL],
               .idiag_states = UINT32_MAX,
               .id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}};
  const bool tcp = query[QUERY_PROTOCOL] == IPPROTO_TCP;
  put_address(tcp ? id->idiag_dst : id->idiag_src, query + QUERY_SOURCE, family);
  put_address(tcp ? id->idiag_src : id->idiag_dst, query + QUERY_DESTINATION, family);
  const __be16 client = htons((uint16_t)query[QUERY_SOURCE_PORT]), server = htons((uint16_t)query[QUERY_DESTINATION_PORT]);
  id->idiag_sport = tcp ? server : client;
  id->idiag_dport = tcp ? client : server;
}

/* Whether a socket that was found is the flow's own. In answers `dst` is the other end, for UDP as well. */
static bool is_exact(const int32_t *query, const struct inet_diag_msg *found) {
  if (query[QUERY_PROTOCOL] == IPPROTO_TCP) return found->idiag_state != TCP_LISTEN;
  if (found->idiag_state != TCP_ESTABLISHED || ntohs(found->id.idiag_dport) != (uint16_t)query[QUERY_SOURCE_PORT]) return false;
  __be32 client[4];
  put_address(client, query + QUERY_SOURCE, query[QUERY_FAMILY]);
  if (query[QUERY_FAMILY] == 4 && found->idiag_family == AF_INET6) {
    const __be32 mapped[4] = {0, 0, htonl(0xffff), client[0]};
    return memcmp(mapped, found->id.idiag_dst, sizeof mapped) == 0;
  }
  return memcmp(client, found->id.idiag_dst, found->idiag_family == AF_INET ? sizeof client[0] : sizeof client) == 0;
}

/* Takes one message of which `have` bytes are here. Leaves alone what answers no open query of this batch. */
static void take_reply(struct lookup *self, int32_t count, const struct nlmsghdr *header, size_t have) {
  const uint32_t index = header->nlmsg_seq - self->sequence;
  if (index >= (uint32_t)count || !self->pending[index]) return;
  uint8_t answer;
  if (header->nlmsg_type == NLMSG_ERROR) {
    int32_t error;
    if (have < sizeof *header + sizeof error) return;
    memcpy(&error, NLMSG_DATA(header), sizeof error);
    /* Short of memory, or the queue is full: to be asked again. */
    if (error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM) return;
    answer = error == -ENOENT ? ANSWER_NONE : ANSWER_UNKNOWN;
  } else {
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || have < NLMSG_LENGTH(sizeof(struct inet_diag_msg))) return;
    const int32_t *query = self->queries + (size_t)index * QUERY_STRIDE;
    answer = is_exact(query, NLMSG_DATA(header)) ? ANSWER_FOUND : ANSWER_NONE;
  }
  self->answers[index] = answer;
  self->pending[index] = 0;
  self->outstanding--;
}

static void take_datagram(struct lookup *self, int32_t count, const uint8_t *data, size_t length) {
  while (length >= sizeof(struct nlmsghdr)) {
    const struct nlmsghdr *header = (const struct nlmsghdr *)data;
    const size_t size = header->nlmsg_len;
    if (size < sizeof *header) return;
    take_reply(self, count, header, size < length ? size : length);
    if (NLMSG_ALIGN(size) >= length) return;
    data += NLMSG_ALIGN(size);
    length -= NLMSG_ALIGN(size);
  }
}

/*
 * Receives until all is answered or nothing is left. The kernel answers while it takes the request, so that an empty queue
 * means answers lost (ENOBUFS tells of it), not answers on their way. False with errno when the descriptor is unusable.
 */
static bool drain(struct lookup *self, int32_t count) {
  while (self->outstanding > 0) {
    const unsigned room = self->outstanding < BURST ? (unsigned)self->outstanding : BURST;
    const int received = recvmmsg(self->fd, self->messages, room, MSG_DONTWAIT, NULL);
    if (received < 0 && errno == EAGAIN) return true;
    if (received < 0 && errno != EINTR && errno != ENOBUFS) return false;
    for (int i = 0; i < received; i++) take_datagram(self, count, self->replies[i], self->messages[i].msg_len);
  }
  return true;
}

/* Asks all that is pending in one send and takes the answers. False with errno when the descriptor is unusable. */
static bool ask(struct lookup *self, int32_t count) {
  size_t used = 0;
  for (int32_t i = 0; i < count; i++) {
    if (self->pending[i]) put_request(self, i, &self->requests[used++]);
  }
  if (send_all(self->fd, self->requests, used * sizeof *self->requests) < 0) {
    if (errno != ENOBUFS && errno != ENOMEM && errno != EAGAIN) return false;
  }
  return drain(self, count);
}

/* lookUpSockets(lookup, count) */
napi_value look_up_sockets(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t count;
  if (!take_arguments(env, info, 2, arguments)) return NULL;
  struct handle *handle = take_handle(env, arguments[0]);
  if (handle == NULL) return NULL;
  if (handle->kind != HANDLE_SOCKET_LOOKUP) return throw_type(env, "not a socket look-up");
  struct lookup *self = (struct lookup *)handle;
  if (!take_int(env, arguments[1], "count", 0, self->capacity, &count)) return NULL;
  self->outstanding = 0;
  for (int32_t i = 0; i < count; i++) {
    self->answers[i] = ANSWER_UNKNOWN;
    self->pending[i] = answerable(self->queries + (size_t)i * QUERY_STRIDE);
    self->outstanding += self->pending[i];
  }
  /* Lost answers are asked for again while some arrive; once for nothing, when old answers may have filled the queue. */
  for (int stalls = 0; self->outstanding > 0 && stalls < 2;) {
    const int32_t before = self->outstanding;
    if (!ask(self, count)) {
      const int error = errno;
      self->sequence += (uint32_t)count;
      return throw_errno(env, error, "sock_diag", NULL, NULL);
    }
    stalls = self->outstanding < before ? 0 : stalls + 1;
  }
  self->sequence += (uint32_t)count;
  return make_undefined(env);
}
