/* Handles: C structures that JavaScript owns, with the arrays they point into kept alive. */
#include <stdlib.h>

#include "addon.h"

bool handle_keep(napi_env env, struct handle *handle, napi_value value) {
  if (handle->kept_count < sizeof handle->kept / sizeof handle->kept[0] &&
      napi_create_reference(env, value, 1, &handle->kept[handle->kept_count]) == napi_ok) {
    handle->kept_count++;
    return true;
  }
  throw_type(env, "an array cannot be kept");
  return false;
}

void handle_free(napi_env env, struct handle *handle) {
  if (handle->release != NULL) handle->release(handle);
  /* A failure here would leak one array while its thread ends; there is nothing else to do. */
  for (unsigned i = 0; i < handle->kept_count; i++) (void)napi_delete_reference(env, handle->kept[i]);
  free(handle);
}

static void collected(napi_env env, void *data, void *hint) {
  (void)hint;
  handle_free(env, data);
}

napi_value handle_wrap(napi_env env, struct handle *handle) {
  napi_value result;
  if (napi_create_external(env, handle, collected, NULL, &result) == napi_ok) return result;
  handle_free(env, handle);
  return NULL;
}

struct handle *take_handle(napi_env env, napi_value value) {
  void *data = NULL;
  if (napi_get_value_external(env, value, &data) == napi_ok && data != NULL) {
    const struct handle *handle = data;
    if (handle->kind >= HANDLE_RECEIVER && handle->kind <= HANDLE_SOCKET_LOOKUP) return data;
  }
  throw_type(env, "not a handle of this addon");
  return NULL;
}
