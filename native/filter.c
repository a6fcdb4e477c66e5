/*
 * pcap-filter expressions to classic BPF. libpcap is loaded when it is first asked for: neither the build nor anything else
 * needs it, so its few functions are declared here (their ABI has not changed since libpcap 0.8).
 */
#include <dlfcn.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

/* struct bpf_program; its instructions are laid out as the kernel's. */
struct program {
  unsigned length;
  struct sock_filter *instructions;
};

struct libpcap {
  void *(*open_dead)(int link_type, int snap_length);
  int (*compile)(void *handle, struct program *out, const char *expression, int optimize, uint32_t netmask);
  char *(*geterr)(void *handle);
  void (*freecode)(struct program *program);
  void (*close)(void *handle);
  int (*validate)(const struct sock_filter *instructions, int length);
  unsigned (*filter)(const struct sock_filter *instructions, const uint8_t *packet, unsigned wire_length, unsigned length);
};

#define NETMASK_UNKNOWN 0xffffffffU
#define SNAP_LENGTH 262144
#define EXPRESSION_MOST 16384

static void *symbol(void *library, const char *name, bool *complete) {
  void *found = dlsym(library, name);
  if (found == NULL) *complete = false;
  return found;
}

/* A function pointer from dlsym's object pointer, which ISO C has no cast for. */
#define TAKE(member, name)                              \
  do {                                                  \
    void *found = symbol(library, name, &complete);     \
    memcpy(&out->member, &found, sizeof out->member);   \
  } while (0)

/* False after throwing an error with code ENOPCAP. */
static bool load(napi_env env, struct libpcap *out) {
  static const char *const NAMES[] = {"libpcap.so.1", "libpcap.so.0.8", "libpcap.so"};
  void *library = NULL;
  /* Stays loaded: it is asked for again with every rule. */
  for (size_t i = 0; library == NULL && i < sizeof NAMES / sizeof NAMES[0]; i++) library = dlopen(NAMES[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  bool complete = library != NULL;
  if (complete) {
    TAKE(open_dead, "pcap_open_dead");
    TAKE(compile, "pcap_compile");
    TAKE(geterr, "pcap_geterr");
    TAKE(freecode, "pcap_freecode");
    TAKE(close, "pcap_close");
    TAKE(validate, "bpf_validate");
    TAKE(filter, "bpf_filter");
    (void)dlclose(library);
  }
  if (!complete) (void)napi_throw_error(env, "ENOPCAP", "needs libpcap (apt-get install libpcap0.8)");
  return complete;
}

static napi_value copy_out(napi_env env, const struct program *program) {
  void *data;
  napi_value buffer, array;
  const size_t bytes = program->length * sizeof *program->instructions;
  if (napi_create_arraybuffer(env, bytes, &data, &buffer) != napi_ok) return NULL;
  memcpy(data, program->instructions, bytes);
  return napi_create_typedarray(env, napi_uint8_array, bytes, buffer, 0, &array) == napi_ok ? array : NULL;
}

/* compileFilter(expression, linkType) */
napi_value compile_filter(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = NULL;
  char expression[EXPRESSION_MOST];
  int32_t link_type;
  struct libpcap pcap;
  if (!take_arguments(env, info, 2, arguments) || !take_text(env, arguments[0], "expression", expression, sizeof expression) ||
      !take_int(env, arguments[1], "linkType", 0, 65535, &link_type) || !load(env, &pcap)) {
    return NULL;
  }
  void *handle = pcap.open_dead(link_type, SNAP_LENGTH);
  if (handle == NULL) return throw_range(env, "linkType: libpcap does not know %d", link_type);
  struct program program = {0, NULL};
  if (pcap.compile(handle, &program, expression, 1, NETMASK_UNKNOWN) != 0) {
    (void)napi_throw_error(env, "EINVAL", pcap.geterr(handle));
  } else {
    result = copy_out(env, &program);
    pcap.freecode(&program);
  }
  pcap.close(handle);
  return result;
}

/* runFilter(program, packet) */
napi_value run_filter(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = NULL;
  struct bytes program, packet;
  struct libpcap pcap;
  if (!take_arguments(env, info, 2, arguments) || !take_bytes(env, arguments[0], "program", &program) ||
      !take_bytes(env, arguments[1], "packet", &packet) || !load(env, &pcap)) {
    return NULL;
  }
  const size_t count = program.length / sizeof(struct sock_filter);
  if (count == 0 || program.length % sizeof(struct sock_filter) != 0) return throw_range(env, "program: %zu bytes are no instructions", program.length);
  /* A Uint8Array may begin at any address, instructions may not. */
  struct sock_filter *copy = malloc(program.length);
  if (copy == NULL) return throw_range(env, "program: out of memory");
  memcpy(copy, program.data, program.length);
  if (!pcap.validate(copy, (int)count)) {
    (void)throw_range(env, "program: libpcap calls it invalid");
  } else if (napi_create_uint32(env, pcap.filter(copy, packet.data, (unsigned)packet.length, (unsigned)packet.length), &result) != napi_ok) {
    result = NULL;
  }
  free(copy);
  return result;
}
