/*
 * Loaded before libc (LD_PRELOAD): a disk that can lose power, be full or fail. It sees what SQLite and the runtime do below
 * FAULT_FOLDER  the data folder, without a slash at its end
 * FAULT_PLAN    a file with what is to happen, in one line: SEED CUT_AT DEAF ERROR ERROR_AT ERROR_COUNT ERROR_OPS. It is read anew, and
 *               operations are counted from 1, once another file has this name.
 *               SEED       what a cut keeps
 *               CUT_AT     the number of the operation at which the power is cut; 0 never
 *               DEAF       1: a disk that lies, a sync of a write-ahead log keeps nothing
 *               ERROR      ENOSPC or EIO: what operations answer; SHORT: a write of half the bytes; NONE
 *               ERROR_AT, ERROR_COUNT   from which operation on, and how many
 *               ERROR_OPS  only operations of these names
 * FAULT_TRACE   a file that gets a line for each operation: its number, name and path
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define REAL(name, result, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

/* One write or truncation that no sync has covered: what was there before it. */
struct undo {
  struct undo *older;
  uint64_t number;
  uint64_t file;
  int truncates;
  off_t size, at;
  size_t length;
  unsigned char *bytes;
};

/* One change of a name that no sync of its folder has covered. */
struct naming {
  struct naming *older;
  enum { CREATED, REMOVED, RENAMED } kind;
  char *path, *other, *saved;
};

/* A file of which a sync was seen, and how much it covered. */
struct synced {
  struct synced *next;
  uint64_t file, up_to;
  off_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder, *plan_file;
static size_t folder_length;
static struct timespec plan_time;
static ino_t plan_inode;
static char error_name[16], error_ops[64];
static uint64_t seed, cut_at, error_at, error_count, operations, writes, saves;
static int deaf, trace = -1;
/* 1 from the moment of the cut on: nobody reads any more what is being taken back. */
static volatile int is_dark;
static struct undo *undos;
static struct naming *namings;
static struct synced *syncs;

/* splitmix64 */
static uint64_t mixed(uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

/* Which file it is, by its number and its birth: numbers are given again. 0 where it is gone. */
static uint64_t identity(int fd, const char *path) {
  struct statx now;
  if (statx(fd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &now)) return 0;
  return mixed(now.stx_ino ^ mixed(now.stx_btime.tv_sec * 1000000000ULL + now.stx_btime.tv_nsec));
}

static int is_ours(const char *path) {
  size_t length = strlen(path);
  if (!folder || strncmp(path, folder, folder_length)) return 0;
  if (path[folder_length] == 0) return 1;
  if (path[folder_length] != '/') return 0;
  if (strstr(path, "/.fault/") || strstr(path, "kith.lock")) return 0;
  /* Shared memory of SQLite, which is made anew after a crash. */
  return !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static int path_of(int fd, char *path) {
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_ours(path);
}

static const char *absolute(const char *path, char *buffer) {
  if (path[0] == '/') return path;
  if (!getcwd(buffer, PATH_MAX)) return path;
  size_t length = strlen(buffer);
  snprintf(buffer + length, PATH_MAX - length, "/%s", path);
  return buffer;
}

__attribute__((constructor)) static void begin(void) {
  folder = getenv("FAULT_FOLDER");
  if (!folder) return;
  folder_length = strlen(folder);
  plan_file = getenv("FAULT_PLAN");
  const char *file = getenv("FAULT_TRACE");
  if (file) trace = REAL("open", int, const char *, int, ...)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The power cut. */

static void write_back(const char *path, uint64_t file) {
  uint64_t fate = mixed(seed ^ file);
  if (fate % 3 == 1) return;
  int fd = REAL("open", int, const char *, int, ...)(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  for (struct undo *undo = undos; undo; undo = undo->older) {
    if (undo->file != file) continue;
    /* A truncation is kept or lost as a whole. */
    if (fate % 3 != 0 && undo->truncates && mixed(fate ^ undo->number) % 2) continue;
    if (fate % 3 == 0 || undo->truncates) {
      REAL("pwrite64", ssize_t, int, const void *, size_t, off_t)(fd, undo->bytes, undo->length, undo->at);
      (void)!REAL("ftruncate64", int, int, off_t)(fd, undo->size);
      continue;
    }
    for (size_t done = 0; done < undo->length;) {
      uint64_t sector = (uint64_t)(undo->at + done) / SECTOR;
      size_t part = SECTOR - (undo->at + done) % SECTOR;
      if (part > undo->length - done) part = undo->length - done;
      /* Of the writes to this sector those up to some number were kept. */
      uint64_t luck = mixed(fate ^ sector);
      uint64_t kept = luck % 3 == 0 ? 0 : luck % 3 == 1 ? UINT64_MAX : mixed(luck) % (writes + 1);
      if (undo->number > kept)
        REAL("pwrite64", ssize_t, int, const void *, size_t, off_t)(fd, undo->bytes + done, part, undo->at + done);
      done += part;
    }
  }
  close(fd);
}

static int has_undo(uint64_t file) {
  for (struct undo *undo = undos; undo; undo = undo->older)
    if (undo->file == file) return 1;
  return 0;
}

/* What was written behind our back is kept only as far as a sync has covered it. */
static void cut_down(const char *path, uint64_t file, off_t size) {
  for (struct synced *known = syncs; known; known = known->next) {
    if (known->file != file) continue;
    if (known->size < size && mixed(seed ^ file ^ 7) % 2) (void)!truncate(path, known->size);
    return;
  }
}

static int lose_unsynced(const char *path, const struct stat *now, int type, struct FTW *where) {
  (void)where;
  if (type != FTW_F || !is_ours(path)) return 0;
  uint64_t file = identity(AT_FDCWD, path);
  if (has_undo(file)) write_back(path, file);
  else cut_down(path, file, now->st_size);
  return 0;
}

static void cut(void) {
  uint64_t count = 0;
  is_dark = 1;
  nftw(folder, lose_unsynced, 16, FTW_PHYS);
  for (struct naming *naming = namings; naming; naming = naming->older) count++;
  uint64_t lost = count ? mixed(seed ^ 99) % (count + 1) : 0;
  for (struct naming *naming = namings; naming && lost > 0; naming = naming->older, lost--) {
    if (naming->kind == CREATED) REAL("unlink", int, const char *)(naming->path);
    if (naming->kind == RENAMED) REAL("rename", int, const char *, const char *)(naming->other, naming->path);
    if (naming->saved)
      REAL("rename", int, const char *, const char *)(naming->saved, naming->kind == RENAMED ? naming->other : naming->path);
  }
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static void read_plan(void) {
  struct stat now;
  if (!plan_file || stat(plan_file, &now)) return;
  if (now.st_ino == plan_inode && !memcmp(&now.st_mtim, &plan_time, sizeof plan_time)) return;
  FILE *file = fopen(plan_file, "r");
  if (!file) return;
  unsigned long read[4] = {0};
  int lies = 0;
  int fields = fscanf(file, "%lu %lu %d %15s %lu %lu %63s", &read[0], &read[1], &lies, error_name, &read[2], &read[3], error_ops);
  fclose(file);
  if (fields != 7) return;
  deaf = lies, seed = read[0], cut_at = read[1], error_at = read[2], error_count = read[3];
  operations = 0;
  plan_inode = now.st_ino;
  plan_time = now.st_mtim;
}

/* One operation: counted and traced. Returns 1 where it is to fail, with errno set, and 2 where it is to be short. */
static int step(const char *name, const char *path) {
  read_plan();
  operations++;
  if (trace >= 0) {
    char line[PATH_MAX + 64];
    const char *shown = path[folder_length] ? path + folder_length + 1 : ".";
    int length = snprintf(line, sizeof line, "%lu %s %s\n", (unsigned long)operations, name, shown);
    (void)!REAL("write", ssize_t, int, const void *, size_t)(trace, line, length);
  }
  if (cut_at && operations >= cut_at) cut();
  if (!error_count || operations < error_at || !strstr(error_ops, name)) return 0;
  error_count--;
  if (!strcmp(error_name, "SHORT")) return 2;
  errno = strcmp(error_name, "EIO") ? ENOSPC : EIO;
  return 1;
}

static struct undo *remember(int fd, off_t at, size_t length) {
  struct stat now;
  if (fstat(fd, &now)) return 0;
  struct undo *undo = calloc(1, sizeof *undo);
  *undo = (struct undo){undos, ++writes, identity(fd, ""), 0, now.st_size, at, 0, malloc(length ? length : 1)};
  if (at < now.st_size) {
    ssize_t held = pread(fd, undo->bytes, length, at);
    undo->length = held > 0 ? held : 0;
  }
  /* Beyond the end there were no bytes: a sector that is lost there reads as zeros. */
  memset(undo->bytes + undo->length, 0, length - undo->length);
  undo->length = length;
  return undos = undo;
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t at) {
  char path[PATH_MAX];
  ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
  if (!folder || !path_of(fd, path)) return real(fd, bytes, length, at);
  pthread_mutex_lock(&lock);
  int fails = step("write", path);
  ssize_t done = -1;
  if (fails == 2 && length > 1) length /= 2;
  if (fails != 1) {
    remember(fd, at, length);
    done = real(fd, bytes, length, at);
  }
  int code = errno;
  pthread_mutex_unlock(&lock);
  errno = code;
  return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return write_at(fd, bytes, length, at); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return write_at(fd, bytes, length, at); }

/* The process lives on while the cut takes back what it wrote: what it would read then is of no disk. */
static ssize_t read_at(int fd, void *bytes, size_t length, off_t at) {
  ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread64");
  ssize_t done = real(fd, bytes, length, at);
  while (is_dark) pause();
  return done;
}

ssize_t pread64(int fd, void *bytes, size_t length, off_t at) { return read_at(fd, bytes, length, at); }
ssize_t pread(int fd, void *bytes, size_t length, off_t at) { return read_at(fd, bytes, length, at); }

static int shorten(int fd, off_t size) {
  char path[PATH_MAX];
  struct stat now;
  int (*real)(int, off_t) = dlsym(RTLD_NEXT, "ftruncate64");
  if (!folder || !path_of(fd, path)) return real(fd, size);
  pthread_mutex_lock(&lock);
  int fails = step("truncate", path) == 1, done = -1;
  if (!fails) {
    size_t lost = !fstat(fd, &now) && now.st_size > size ? now.st_size - size : 0;
    struct undo *undo = remember(fd, size, lost);
    if (undo) undo->truncates = 1;
    done = real(fd, size);
  }
  int code = errno;
  pthread_mutex_unlock(&lock);
  errno = code;
  return done;
}

int ftruncate64(int fd, off_t size) { return shorten(fd, size); }
int ftruncate(int fd, off_t size) { return shorten(fd, size); }

/* Forgets what a sync has covered: all that was done to the file before it began. */
static void covered(uint64_t file, uint64_t up_to, off_t size) {
  for (struct undo **at = &undos; *at;) {
    struct undo *undo = *at;
    if (undo->file == file && undo->number <= up_to) {
      *at = undo->older;
      free(undo->bytes);
      free(undo);
    } else at = &undo->older;
  }
  struct synced *known = syncs;
  while (known && known->file != file) known = known->next;
  if (!known) {
    known = calloc(1, sizeof *known);
    known->next = syncs;
    known->file = file;
    syncs = known;
  }
  /* Of two syncs at once the one that began first may end last. */
  if (up_to < known->up_to) return;
  known->up_to = up_to;
  known->size = size;
}

static int is_in(const char *path, const char *directory) {
  size_t length = strlen(directory);
  return !strncmp(path, directory, length) && path[length] == '/' && !strchr(path + length + 1, '/');
}

/* The changes of names up to the newest of this folder are kept, as by a file system with an ordered journal. */
static void names_covered(const char *directory) {
  struct naming **at = &namings;
  while (*at && !is_in((*at)->path, directory) && !((*at)->other && is_in((*at)->other, directory))) at = &(*at)->older;
  while (*at) {
    struct naming *naming = *at;
    *at = naming->older;
    if (naming->saved) REAL("unlink", int, const char *)(naming->saved);
    free(naming->path);
    free(naming->other);
    free(naming->saved);
    free(naming);
  }
}

static int sync_file(const char *name, int fd) {
  char path[PATH_MAX];
  struct stat now;
  int (*real)(int) = dlsym(RTLD_NEXT, name);
  if (!folder || !path_of(fd, path)) return real(fd);
  pthread_mutex_lock(&lock);
  int fails = step("sync", path) == 1;
  int code = errno;
  uint64_t up_to = writes;
  int known = fstat(fd, &now) == 0;
  pthread_mutex_unlock(&lock);
  errno = code;
  if (fails) return -1;
  int done = real(fd);
  size_t length = strlen(path);
  int ignored = deaf && length > 4 && !strcmp(path + length - 4, "-wal");
  pthread_mutex_lock(&lock);
  if (!done && known && !ignored) {
    if (S_ISDIR(now.st_mode)) names_covered(path);
    else covered(identity(fd, ""), up_to, now.st_size);
  }
  pthread_mutex_unlock(&lock);
  return done;
}

int fdatasync(int fd) { return sync_file("fdatasync", fd); }
int fsync(int fd) { return sync_file("fsync", fd); }

/* Another name for a file that is about to lose its own, so that a cut can bring it back. */
static char *saved(const char *path) {
  char name[PATH_MAX];
  struct stat now;
  if (lstat(path, &now) || !S_ISREG(now.st_mode)) return 0;
  snprintf(name, sizeof name, "%s/.fault", folder);
  mkdir(name, 0700);
  snprintf(name, sizeof name, "%s/.fault/%lu.%lu", folder, (unsigned long)getpid(), (unsigned long)++saves);
  return link(path, name) ? 0 : strdup(name);
}

static void note(int kind, const char *path, const char *other, char *keep) {
  struct naming *naming = calloc(1, sizeof *naming);
  *naming = (struct naming){namings, kind, strdup(path), other ? strdup(other) : 0, keep};
  namings = naming;
}

int rename(const char *from, const char *to) {
  char first[PATH_MAX], second[PATH_MAX];
  int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
  const char *a = absolute(from, first), *b = absolute(to, second);
  if (!folder || (!is_ours(a) && !is_ours(b))) return real(from, to);
  pthread_mutex_lock(&lock);
  int done = -1;
  if (step("rename", b) != 1) {
    char *keep = saved(b);
    done = real(from, to);
    if (!done) note(RENAMED, a, b, keep);
  }
  int code = errno;
  pthread_mutex_unlock(&lock);
  errno = code;
  return done;
}

int unlink(const char *path) {
  char buffer[PATH_MAX];
  int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
  const char *name = absolute(path, buffer);
  if (!folder || !is_ours(name)) return real(path);
  pthread_mutex_lock(&lock);
  int done = -1;
  if (step("unlink", name) != 1) {
    char *keep = saved(name);
    done = real(path);
    if (!done) note(REMOVED, name, 0, keep);
  }
  int code = errno;
  pthread_mutex_unlock(&lock);
  errno = code;
  return done;
}

static int made(const char *path, int flags, int mode) {
  char buffer[PATH_MAX];
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
  const char *name = absolute(path, buffer);
  if (!folder || !(flags & O_CREAT) || !is_ours(name) || !access(name, F_OK)) return real(path, flags, mode);
  pthread_mutex_lock(&lock);
  int fd = -1;
  if (step("create", name) != 1) {
    fd = real(path, flags, mode);
    if (fd >= 0) note(CREATED, name, 0, 0);
  }
  int code = errno;
  pthread_mutex_unlock(&lock);
  errno = code;
  return fd;
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  return made(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  return made(path, flags, mode);
}
