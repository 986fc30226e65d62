/*
 * Runs a command and kills it, as `kill -9` does, before the N-th of its system calls that change what is below some folders. Calls are counted
 * over all its threads, whatever library makes them. TRACE gets a line for each: its number, its name, its path.
 *
 *   kill_at TRACE AT FOLDER... -- COMMAND...
 *
 * AT 0: it is not killed. Ends with the command's code, or with 128 and the number of the signal that has ended it. SIGTERM is passed on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { OPEN, OPENAT, PATH, AT_PATH, FROM_TO, FROM_TO_AT, FD, FD_OUT };
struct call {
  long number;
  const char *name;
  enum kind kind;
  /* Of a descriptor: which argument it is. */
  int arg;
  /* It makes, moves or removes a name. */
  int is_name;
};

static const struct call calls[] = {
#ifdef SYS_open
    {SYS_open, "open", OPEN, 0, 1},         {SYS_creat, "open", PATH, 0, 1},
    {SYS_rename, "rename", FROM_TO, 0, 1},  {SYS_unlink, "unlink", PATH, 0, 1},
    {SYS_rmdir, "rmdir", PATH, 0, 1},       {SYS_mkdir, "mkdir", PATH, 0, 1},
    {SYS_link, "link", FROM_TO, 0, 1},      {SYS_symlink, "symlink", FROM_TO, 0, 1},
    {SYS_chmod, "chmod", PATH, 0, 0},
#endif
#ifdef SYS_renameat
    {SYS_renameat, "rename", FROM_TO_AT, 0, 1},
#endif
    {SYS_openat, "open", OPENAT, 0, 1},     {SYS_renameat2, "rename", FROM_TO_AT, 0, 1},
    {SYS_unlinkat, "unlink", AT_PATH, 0, 1}, {SYS_mkdirat, "mkdir", AT_PATH, 0, 1},
    {SYS_linkat, "link", FROM_TO_AT, 0, 1},
    {SYS_truncate, "truncate", PATH, 0, 0}, {SYS_ftruncate, "ftruncate", FD, 0, 0},
    {SYS_write, "write", FD, 0, 0},         {SYS_pwrite64, "write", FD, 0, 0},
    {SYS_writev, "write", FD, 0, 0},        {SYS_pwritev, "write", FD, 0, 0},
    {SYS_pwritev2, "write", FD, 0, 0},      {SYS_fallocate, "fallocate", FD, 0, 0},
    {SYS_fsync, "fsync", FD, 0, 0},         {SYS_fdatasync, "fdatasync", FD, 0, 0},
    {SYS_copy_file_range, "copy", FD, 2, 0}, {SYS_sendfile, "copy", FD, 0, 0},
    {SYS_ioctl, "ioctl", FD, 0, 0},         {SYS_fchmod, "chmod", FD, 0, 0},
    {SYS_fchmodat, "chmod", AT_PATH, 0, 0},
};
#define CALLS (int)(sizeof calls / sizeof *calls)

static char **folders;
static int folder_count;
static FILE *trace;
static unsigned long at, seen;
static pid_t child;

static void fail(const char *what) {
  perror(what);
  exit(125);
}

static int is_below(const char *path) {
  for (int i = 0; i < folder_count; i += 1) {
    size_t length = strlen(folders[i]);
    if (!strncmp(path, folders[i], length) && (path[length] == 0 || path[length] == '/')) return 1;
  }
  return 0;
}

static int link_of(pid_t pid, const char *name, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/%d/%s", pid, name);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return 1;
}

static int fd_path(pid_t pid, int fd, char *path) {
  char name[32];
  snprintf(name, sizeof name, "fd/%d", fd);
  return link_of(pid, name, path);
}

/* A path in the memory of the process, made absolute. */
static int read_path(pid_t pid, int folder, unsigned long where, char *path) {
  char text[PATH_MAX];
  struct iovec local = {text, 0}, remote = {(void *)where, 0};
  size_t length = 0;
  /* Page by page: what lies behind the end may not be mapped. */
  while (length < sizeof text - 1) {
    size_t part = 4096 - ((where + length) & 4095);
    if (part > sizeof text - 1 - length) part = sizeof text - 1 - length;
    local.iov_base = text + length;
    local.iov_len = remote.iov_len = part;
    remote.iov_base = (void *)(where + length);
    ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (got <= 0) return 0;
    if (memchr(text + length, 0, got)) goto found;
    length += got;
  }
  return 0;
found:
  if (text[0] == '/') {
    strcpy(path, text);
    return 1;
  }
  if (!(folder == AT_FDCWD ? link_of(pid, "cwd", path) : fd_path(pid, folder, path))) return 0;
  size_t above = strlen(path);
  if (above + 1 + strlen(text) >= PATH_MAX) return 0;
  path[above] = '/';
  strcpy(path + above + 1, text);
  return 1;
}

/* Of an opening: whether it makes or empties a file. */
static int changes(const char *path, int flags) {
  struct stat found;
  int is_there = !lstat(path, &found);
  if (flags & O_CREAT && !is_there) return 1;
  return flags & O_TRUNC && is_there && found.st_size > 0;
}

static int is_step(pid_t pid, const struct call *call, const __uint64_t *args, char *path) {
  char other[PATH_MAX];
  switch (call->kind) {
    case OPEN: return read_path(pid, AT_FDCWD, args[0], path) && is_below(path) && changes(path, args[1]);
    case OPENAT: return read_path(pid, args[0], args[1], path) && is_below(path) && changes(path, args[2]);
    case PATH: return read_path(pid, AT_FDCWD, args[0], path) && is_below(path);
    case AT_PATH: return read_path(pid, args[0], args[1], path) && is_below(path);
    case FROM_TO:
      if (!read_path(pid, AT_FDCWD, args[0], other) || !read_path(pid, AT_FDCWD, args[1], path)) return 0;
      return is_below(path) || is_below(other);
    case FROM_TO_AT:
      if (!read_path(pid, args[0], args[1], other) || !read_path(pid, args[2], args[3], path)) return 0;
      return is_below(path) || is_below(other);
    default: return fd_path(pid, args[call->arg], path) && is_below(path);
  }
}

/* What changes nothing, or is made anew after any crash. */
static int is_nothing(const struct call *call, const char *path, const __uint64_t *args) {
  struct stat found;
  size_t length = strlen(path);
  if (length > 4 && !strcmp(path + length - 4, "-shm")) return 1;
  if (!call->is_name) return call->number == SYS_ioctl && args[1] != FICLONE;
  if (!strcmp(call->name, "mkdir")) return !lstat(path, &found);
  if (!strcmp(call->name, "unlink") || !strcmp(call->name, "rmdir")) return lstat(path, &found) != 0;
  return 0;
}

/* Whether the process ends here. */
static int meet(pid_t pid) {
  struct __ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_SECCOMP) return 0;
  for (int i = 0; i < CALLS; i += 1) {
    const struct call *call = &calls[i];
    if (call->number != (long)info.seccomp.nr) continue;
    char path[PATH_MAX];
    if (!is_step(pid, call, info.seccomp.args, path) || is_nothing(call, path, info.seccomp.args)) return 0;
    seen += 1;
    fprintf(trace, "%lu %s %s\n", seen, call->name, path);
    fflush(trace);
    return seen == at;
  }
  return 0;
}

static void filter(void) {
  struct sock_filter code[CALLS + 3];
  code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < CALLS; i += 1)
    code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, CALLS - i, 0);
  code[CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  code[CALLS + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
  struct sock_fprog program = {CALLS + 3, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) fail("seccomp");
}

static void pass_on(int number) { kill(child, number); }

int main(int argc, char **argv) {
  int command = 3;
  while (command < argc && strcmp(argv[command], "--")) command += 1;
  if (command >= argc - 1) return 125;
  trace = fopen(argv[1], "we");
  if (!trace) fail(argv[1]);
  at = strtoul(argv[2], NULL, 10);
  folders = argv + 3;
  folder_count = command - 3;
  child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) fail("ptrace");
    raise(SIGSTOP);
    filter();
    execvp(argv[command + 1], argv + command + 1);
    fail(argv[command + 1]);
  }
  signal(SIGTERM, pass_on);
  signal(SIGINT, pass_on);
  int status;
  if (waitpid(child, &status, 0) < 0) fail("waitpid");
  long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
  if (ptrace(PTRACE_SETOPTIONS, child, 0, options) || ptrace(PTRACE_CONT, child, 0, 0)) fail("ptrace");
  int code = 125, is_killed = 0;
  for (;;) {
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) break;
    if (!WIFSTOPPED(status)) {
      if (pid == child) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    if (is_killed) continue;
    int number = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_SECCOMP && meet(pid)) {
      is_killed = 1;
      kill(child, SIGKILL);
      continue;
    }
    ptrace(PTRACE_CONT, pid, 0, event || number == SIGSTOP || number == SIGTRAP ? 0 : number);
  }
  return code;
}
