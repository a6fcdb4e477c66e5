/* The Internet checksum (RFC 1071) over long ranges, 8 bytes at a time. */
#include <arpa/inet.h>
#include <string.h>

#include "addon.h"

static uint64_t load64(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* One's complement addition: a carry out of the top comes back in at the bottom. */
static uint64_t add(uint64_t sum, uint64_t word) {
  sum += word;
  return sum + (sum < word);
}

/* What is left behind the long steps: sum of the 16-bit words in machine order; an odd last byte is the first of a word. */
static uint64_t sum_rest(uint64_t sum, const uint8_t *at, size_t length) {
  for (; length >= 8; at += 8, length -= 8) sum = add(sum, load64(at));
  if (length > 0) {
    uint64_t rest = 0;
    memcpy(&rest, at, length);
    sum = add(sum, rest);
  }
  return sum;
}

static uint64_t sum_plain(const uint8_t *at, size_t length) {
  /* Two chains, so that an addition need not wait for the carry of the one before. */
  uint64_t a = 0, b = 0;
  for (; length >= 32; at += 32, length -= 32) {
    a = add(a, load64(at));
    b = add(b, load64(at + 8));
    a = add(a, load64(at + 16));
    b = add(b, load64(at + 24));
  }
  return sum_rest(add(a, b), at, length);
}

#ifdef __x86_64__
typedef uint64_t wide __attribute__((vector_size(32)));

/* Halves of 64-bit words add up in words of their own, so that there is no carry: three times as fast where AVX2 is. */
__attribute__((target("avx2"))) static uint64_t sum_wide(const uint8_t *at, size_t length) {
  wide low = {0}, high = {0}, low2 = {0}, high2 = {0};
  for (; length >= 64; at += 64, length -= 64) {
    wide a, b;
    memcpy(&a, at, sizeof a);
    memcpy(&b, at + sizeof a, sizeof b);
    low += a & 0xffffffff;
    high += a >> 32;
    low2 += b & 0xffffffff;
    high2 += b >> 32;
  }
  low += low2;
  high += high2;
  const uint64_t lows = low[0] + low[1] + low[2] + low[3], highs = high[0] + high[1] + high[2] + high[3];
  return sum_rest(add(lows, highs << 32 | highs >> 32), at, length);
}
#endif

static uint64_t sum_range(const uint8_t *at, size_t length) {
#ifdef __x86_64__
  if (length >= 128 && __builtin_cpu_supports("avx2")) return sum_wide(at, length);
#endif
  return sum_plain(at, length);
}

static uint16_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

static bool inside(int32_t start, int32_t length, size_t pool) {
  return start >= 0 && length >= 0 && (size_t)start <= pool && (size_t)length <= pool - (size_t)start;
}

bool sum_job_valid(const int32_t *job, size_t length) {
  return inside(job[SUM_START], job[SUM_LENGTH], length) && inside(job[SUM_START2], job[SUM_LENGTH2], length) &&
         inside(job[SUM_FIELD], 2, length) && (job[SUM_LENGTH2] == 0 || job[SUM_LENGTH] % 2 == 0);
}

void sum_job_run(const int32_t *job, uint8_t *pool) {
  uint64_t sum = sum_range(pool + job[SUM_START], (size_t)job[SUM_LENGTH]);
  if (job[SUM_LENGTH2] > 0) sum = add(sum, sum_range(pool + job[SUM_START2], (size_t)job[SUM_LENGTH2]));
  /* Words were loaded in machine order and are stored in it, which leaves the bytes in network order (RFC 1071, 2 B). */
  uint16_t result = (uint16_t)~fold(sum);
  if (result == 0 && job[SUM_ZERO_AS_ONES] != 0) result = 0xffff;
  memcpy(pool + job[SUM_FIELD], &result, sizeof result);
}

/* sumChecksums(pool, sums, count) */
napi_value sum_checksums(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  struct bytes pool;
  struct words sums;
  int32_t count;
  if (!take_arguments(env, info, 3, arguments) || !take_bytes(env, arguments[0], "pool", &pool) ||
      !take_words(env, arguments[1], "sums", &sums) ||
      !take_int(env, arguments[2], "count", 0, (int32_t)(sums.length / SUM_STRIDE), &count)) {
    return NULL;
  }
  for (int32_t i = 0; i < count; i++) {
    const int32_t *job = sums.data + (size_t)i * SUM_STRIDE;
    if (!sum_job_valid(job, pool.length)) return throw_range(env, "checksum job %d reaches outside the pool", i);
    sum_job_run(job, pool.data);
  }
  return make_undefined(env);
}

/* verifyChecksums(pool, checks, count) */
napi_value verify_checksums(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  struct bytes pool;
  struct words checks;
  int32_t count;
  if (!take_arguments(env, info, 3, arguments) || !take_bytes(env, arguments[0], "pool", &pool) ||
      !take_words(env, arguments[1], "checks", &checks) ||
      !take_int(env, arguments[2], "count", 0, (int32_t)(checks.length / CHECK_STRIDE), &count)) {
    return NULL;
  }
  for (int32_t i = 0; i < count; i++) {
    int32_t *check = checks.data + (size_t)i * CHECK_STRIDE;
    if (check[CHECK_LENGTH] == 0) continue;
    if (!inside(check[CHECK_START], check[CHECK_LENGTH], pool.length)) return throw_range(env, "checksum %d reaches outside the pool", i);
    const uint64_t sum = sum_range(pool.data + check[CHECK_START], (size_t)check[CHECK_LENGTH]);
    check[CHECK_GOOD] = fold(add(sum, htons((uint16_t)check[CHECK_PSEUDO]))) == 0xffff;
  }
  return make_undefined(env);
}
