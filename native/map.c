/* Shared memory in files, and the lock that keeps a second agent out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addon.h"

/* A mapping may not be larger: the data plane addresses it with int32 offsets. */
#define MAP_MOST INT32_MAX

/* Size of a huge page, and where mappings that hold one begin: the kernel needs that to map it as one. */
#define HUGE_PAGE ((size_t)2 << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

/*
 * Makes the file at least `size` bytes long, with its pages allocated: in a sparse file a full file system would show
 * as SIGBUS in the middle of the data path, here it is ENOSPC at start. Where fallocate is not known, length must do.
 */
static const char *grow(int fd, off_t size) {
  struct stat status;
  if (fstat(fd, &status) != 0) return "fstat";
  if (status.st_size < size && ftruncate(fd, size) != 0) return "ftruncate";
  if (fallocate(fd, 0, 0, size) != 0 && errno != EOPNOTSUPP && errno != ENOSYS) return "fallocate";
  return NULL;
}

/*
 * Threads that map the same file share one mapping: page tables, and what counts as resident memory of the process, exist once.
 * A file that was replaced under its name is another inode, and so another mapping.
 */
typedef struct mapping {
  dev_t device;
  ino_t inode;
  size_t size;
  void *memory;
  unsigned users;
  struct mapping *next;
} mapping;

static mapping *mappings;
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;

/* Maps a file; a large one at a multiple of the huge page. MAP_FAILED with errno set when it cannot be. */
static void *map_shared(int fd, size_t size) {
  if (size < HUGE_PAGE) return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char *reserved = mmap(NULL, size + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  const size_t before = -(uintptr_t)reserved & (HUGE_PAGE - 1);
  void *memory = mmap(reserved + before, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  const int error = errno;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t end = (before + size + page - 1) & ~(page - 1);
  const bool failed = memory == MAP_FAILED;
  if (failed || before > 0) (void)munmap(reserved, failed ? size + HUGE_PAGE : before);
  if (!failed && end < size + HUGE_PAGE) (void)munmap(reserved + end, size + HUGE_PAGE - end);
  errno = error;
  return memory;
}

/*
 * Makes huge pages of a large file in a tmpfs. A table looked up at random in small pages costs a walk through two levels of page
 * tables for each look-up, 8 ns of a packet's 60. MADV_COLLAPSE needs neither privilege nor settings of the host, on tmpfs alone;
 * where it is not to be had small pages do the same work.
 */
static void use_huge_pages(void *memory, size_t size) {
  if (size >= HUGE_PAGE) (void)madvise(memory, size & ~(HUGE_PAGE - 1), MADV_COLLAPSE);
}

/* The mapping of an open file with one user more; NULL with errno set when it cannot be made. */
static mapping *acquire(int fd, const struct stat *status, size_t size) {
  pthread_mutex_lock(&mappings_lock);
  mapping *found = mappings;
  while (found != NULL && (found->device != status->st_dev || found->inode != status->st_ino || found->size != size)) found = found->next;
  if (found == NULL && (found = calloc(1, sizeof *found)) != NULL) {
    *found = (mapping){status->st_dev, status->st_ino, size, map_shared(fd, size), 0, mappings};
    if (found->memory == MAP_FAILED) {
      free(found);
      found = NULL;
    } else {
      mappings = found;
    }
  }
  if (found != NULL) found->users++;
  pthread_mutex_unlock(&mappings_lock);
  return found;
}

static void release(mapping *used) {
  pthread_mutex_lock(&mappings_lock);
  if (--used->users == 0) {
    mapping **link = &mappings;
    while (*link != used) link = &(*link)->next;
    *link = used->next;
    (void)munmap(used->memory, used->size); /* fails only for addresses that were never mapped */
    free(used);
  }
  pthread_mutex_unlock(&mappings_lock);
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  release(hint);
}

/* Maps an open file; on failure NULL after throwing. */
static napi_value map_descriptor(napi_env env, int fd, int32_t size, bool create, const char *path) {
  struct stat status;
  const char *failed = create ? grow(fd, size) : NULL;
  if (failed != NULL) return throw_errno(env, errno, failed, NULL, path);
  if (fstat(fd, &status) != 0) return throw_errno(env, errno, "fstat", NULL, path);
  if (status.st_size < size) return throw_range(env, "%s: %lld bytes long, %d wanted", path, (long long)status.st_size, size);
  mapping *shared = acquire(fd, &status, (size_t)size);
  if (shared == NULL) return throw_errno(env, errno, "mmap", NULL, path);
  if (create) use_huge_pages(shared->memory, (size_t)size);
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, shared->memory, (size_t)size, finalize, shared, &buffer) == napi_ok) return buffer;
  release(shared);
  return throw_type(env, "%s: this runtime takes no external memory", path);
}

/* mapFile(path, size, create) */
napi_value map_file(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  char path[PATH_MAX];
  int32_t size;
  bool create;
  if (!take_arguments(env, info, 3, arguments) || !take_text(env, arguments[0], "path", path, sizeof path) ||
      !take_int(env, arguments[1], "size", 1, MAP_MOST, &size) || !take_bool(env, arguments[2], "create", &create)) {
    return NULL;
  }
  const int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
  if (fd < 0) return throw_errno(env, errno, "open", NULL, path);
  const napi_value buffer = map_descriptor(env, fd, size, create, path);
  close(fd); /* the mapping keeps the file */
  return buffer;
}

/* lockFile(path) */
napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  char path[PATH_MAX];
  if (!take_arguments(env, info, 1, arguments) || !take_text(env, arguments[0], "path", path, sizeof path)) return NULL;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return throw_errno(env, errno, "open", NULL, path);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return make_int(env, fd);
  const int error = errno;
  close(fd);
  return throw_errno(env, error, "flock", NULL, path);
}
