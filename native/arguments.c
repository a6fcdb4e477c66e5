/* Reading arguments: a wrong one throws a TypeError or RangeError that names it. */
#include "addon.h"

bool take_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok) return false;
  if (given < count) throw_type(env, "%zu arguments expected, %zu given", count, given);
  return given >= count;
}

bool take_int(napi_env env, napi_value value, const char *name, int32_t least, int32_t most, int32_t *out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    throw_type(env, "%s: not a number", name);
    return false;
  }
  if (!(number >= least && number <= most) || number != (double)(int32_t)number) {
    throw_range(env, "%s: %g is no integer from %d to %d", name, number, least, most);
    return false;
  }
  *out = (int32_t)number;
  return true;
}

bool take_bool(napi_env env, napi_value value, const char *name, bool *out) {
  if (napi_get_value_bool(env, value, out) == napi_ok) return true;
  throw_type(env, "%s: not a boolean", name);
  return false;
}

bool take_text(napi_env env, napi_value value, const char *name, char *out, size_t size) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    throw_type(env, "%s: not a string", name);
    return false;
  }
  if (length == 0 || length >= size) {
    throw_range(env, "%s: %zu bytes long, 1 to %zu expected", name, length, size - 1);
    return false;
  }
  return napi_get_value_string_utf8(env, value, out, size, &length) == napi_ok;
}

static bool take_array(napi_env env, napi_value value, const char *name, napi_typedarray_type wanted, void **data, size_t *length) {
  bool is_array = false;
  napi_typedarray_type type;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array ||
      napi_get_typedarray_info(env, value, &type, length, data, NULL, NULL) != napi_ok || type != wanted) {
    throw_type(env, "%s: not %s", name, wanted == napi_uint8_array ? "a Uint8Array" : "an Int32Array");
    return false;
  }
  /* Records hold offsets as int32. */
  if (*length > INT32_MAX) {
    throw_range(env, "%s: longer than 2 GB", name);
    return false;
  }
  return true;
}

bool take_bytes(napi_env env, napi_value value, const char *name, struct bytes *out) {
  void *data;
  if (!take_array(env, value, name, napi_uint8_array, &data, &out->length)) return false;
  out->data = data;
  return true;
}

bool take_words(napi_env env, napi_value value, const char *name, struct words *out) {
  void *data;
  if (!take_array(env, value, name, napi_int32_array, &data, &out->length)) return false;
  out->data = data;
  return true;
}

napi_value make_int(napi_env env, int32_t value) {
  napi_value result;
  return napi_create_int32(env, value, &result) == napi_ok ? result : NULL;
}

napi_value make_bool(napi_env env, bool value) {
  napi_value result;
  return napi_get_boolean(env, value, &result) == napi_ok ? result : NULL;
}

napi_value make_undefined(napi_env env) {
  napi_value result;
  return napi_get_undefined(env, &result) == napi_ok ? result : NULL;
}

napi_value make_list(napi_env env, const int32_t *values, int32_t count) {
  napi_value result;
  if (napi_create_array_with_length(env, (size_t)count, &result) != napi_ok) return NULL;
  for (int32_t i = 0; i < count; i++) {
    napi_value value = make_int(env, values[i]);
    if (value == NULL || napi_set_element(env, result, (uint32_t)i, value) != napi_ok) return NULL;
  }
  return result;
}
