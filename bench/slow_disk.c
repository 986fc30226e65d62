/* Loaded before libc (LD_PRELOAD): every fsync and fdatasync takes 5 ms longer, as on a poor disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int slow(const char *name, int fd) {
  struct timespec pause = {0, 5000000};
  nanosleep(&pause, 0);
  return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int fdatasync(int fd) { return slow("fdatasync", fd); }

int fsync(int fd) { return slow("fsync", fd); }
