/*
 * Runs a command, and kills it and all its threads (SIGKILL) as it begins the N-th step that it takes on files below a folder: system calls,
 * also those that a runtime makes without libc, over all of its threads and children in one order.
 *
 *   step_killer FOLDER N TEXT TRACE COMMAND [ARGUMENT]...
 *
 * FOLDER: what the paths begin with. N: counted from 1; 0 kills nothing. TEXT: counted are only steps that have it in their line; "" for all.
 * TRACE: a file that gets a line for each step, "kind path", with what comes after the folder. It ends with the command's code, or with 137
 * where it was killed; SIGTERM is passed on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* Where a call has its path: a path, a folder's descriptor with a path, or a descriptor. `flags`: the argument with those of an open. */
enum place { BY_PATH, BY_FOLDER, BY_FILE };
struct call {
  long number;
  const char *kind;
  enum place place;
  int at;
  int flags;
};

static const struct call CALLS[] = {
#ifdef SYS_open
    {SYS_open, "create", BY_PATH, 0, 1},
    {SYS_creat, "create", BY_PATH, 0, -1},
    {SYS_mkdir, "mkdir", BY_PATH, 0, -1},
    {SYS_rmdir, "rmdir", BY_PATH, 0, -1},
    {SYS_unlink, "unlink", BY_PATH, 0, -1},
    {SYS_rename, "rename", BY_PATH, 0, -1},
    {SYS_link, "link", BY_PATH, 1, -1},
    {SYS_symlink, "link", BY_PATH, 1, -1},
#endif
    {SYS_openat, "create", BY_FOLDER, 0, 2},
    {SYS_mkdirat, "mkdir", BY_FOLDER, 0, -1},
    {SYS_unlinkat, "unlink", BY_FOLDER, 0, -1},
#ifdef SYS_renameat
    {SYS_renameat, "rename", BY_FOLDER, 0, -1},
#endif
    {SYS_renameat2, "rename", BY_FOLDER, 0, -1},
    {SYS_linkat, "link", BY_FOLDER, 2, -1},
    {SYS_symlinkat, "link", BY_FOLDER, 1, -1},
    {SYS_write, "write", BY_FILE, 0, -1},
    {SYS_pwrite64, "write", BY_FILE, 0, -1},
    {SYS_writev, "write", BY_FILE, 0, -1},
    {SYS_pwritev, "write", BY_FILE, 0, -1},
    {SYS_pwritev2, "write", BY_FILE, 0, -1},
    {SYS_sendfile, "write", BY_FILE, 0, -1},
    {SYS_copy_file_range, "write", BY_FILE, 2, -1},
    {SYS_fallocate, "truncate", BY_FILE, 0, -1},
    {SYS_ftruncate, "truncate", BY_FILE, 0, -1},
    {SYS_truncate, "truncate", BY_PATH, 0, -1},
    {SYS_fsync, "sync", BY_FILE, 0, -1},
    {SYS_fdatasync, "sync", BY_FILE, 0, -1},
};
#define CALLS_COUNT (sizeof CALLS / sizeof CALLS[0])

static void fail(const char *what) {
  perror(what);
  exit(125);
}

/* Only these calls stop the command: all others are as fast as ever. */
static void filter_calls(void) {
  struct sock_filter code[CALLS_COUNT * 2 + 2];
  size_t at = 0;
  code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < CALLS_COUNT; i++) {
    code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)CALLS[i].number, 0, 1);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
  }
  code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = (unsigned short)at, .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) fail("seccomp");
}

static void read_text(pid_t tid, unsigned long long address, char *text) {
  size_t had = 0;
  text[0] = 0;
  /* By pages: the next one need not be there. */
  while (had < PATH_BYTES - 1) {
    size_t wanted = 4096 - (size_t)((address + had) % 4096);
    if (wanted > PATH_BYTES - 1 - had) wanted = PATH_BYTES - 1 - had;
    struct iovec to = {text + had, wanted};
    struct iovec from = {(void *)(unsigned long)(address + had), wanted};
    ssize_t got = process_vm_readv(tid, &to, 1, &from, 1, 0);
    if (got <= 0) break;
    text[had + (size_t)got] = 0;
    if (memchr(text + had, 0, (size_t)got) != NULL) return;
    had += (size_t)got;
  }
  text[had] = 0;
}

static void path_of_file(pid_t tid, int file, char *path) {
  char link[64];
  if (file == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", tid);
  else snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, file);
  ssize_t length = readlink(link, path, PATH_BYTES - 1);
  path[length > 0 ? length : 0] = 0;
}

static const struct call *call_of(const struct __ptrace_syscall_info *info) {
  for (size_t i = 0; i < CALLS_COUNT; i++)
    if ((unsigned long long)CALLS[i].number == info->seccomp.nr) return &CALLS[i];
  return NULL;
}

/* Whether the call is a step below the folder; its path. */
static int is_step(pid_t tid, const struct __ptrace_syscall_info *info, const char *folder, char *path) {
  const struct call *call = call_of(info);
  if (call == NULL) return 0;
  if (call->flags >= 0 && (info->seccomp.args[call->flags] & (O_CREAT | O_TRUNC)) == 0) return 0;
  if (call->place == BY_FILE) path_of_file(tid, (int)info->seccomp.args[call->at], path);
  else {
    char name[PATH_BYTES];
    int isBelow = call->place == BY_FOLDER;
    read_text(tid, info->seccomp.args[call->at + isBelow], name);
    if (name[0] == '/') strcpy(path, name);
    else {
      path_of_file(tid, isBelow ? (int)info->seccomp.args[call->at] : AT_FDCWD, path);
      strncat(path, "/", PATH_BYTES - 1 - strlen(path));
      strncat(path, name, PATH_BYTES - 1 - strlen(path));
    }
  }
  return strncmp(path, folder, strlen(folder)) == 0;
}

static pid_t child;

static void pass_on(int signal) { kill(child, signal); }

int main(int count, char **arguments) {
  if (count < 6) {
    fprintf(stderr, "step_killer FOLDER N TEXT TRACE COMMAND [ARGUMENT]...\n");
    return 125;
  }
  const char *folder = arguments[1];
  long last = atol(arguments[2]), steps = 0;
  const char *text = arguments[3];
  FILE *trace = fopen(arguments[4], "w");
  if (trace == NULL) fail(arguments[4]);
  child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    raise(SIGSTOP);
    filter_calls();
    execvp(arguments[5], arguments + 5);
    fail(arguments[5]);
  }
  signal(SIGTERM, pass_on);
  int status;
  if (waitpid(child, &status, WUNTRACED) < 0) fail("waitpid");
  long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, child, 0, options) != 0) fail("ptrace");
  kill(child, SIGCONT);
  static char path[PATH_BYTES * 2], line[PATH_BYTES * 3];
  int isKilled = 0;
  for (;;) {
    pid_t tid = waitpid(-1, &status, __WALL);
    if (tid < 0) {
      if (errno == EINTR) continue;
      fail("waitpid");
    }
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (tid != child) continue;
      fclose(trace);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    int number = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_SECCOMP && !isKilled) {
      struct __ptrace_syscall_info info;
      if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && is_step(tid, &info, folder, path)) {
        snprintf(line, sizeof line, "%s %s", call_of(&info)->kind, path + strlen(folder));
        fprintf(trace, "%s\n", line);
        if (strstr(line, text) != NULL) steps += 1;
        if (steps == last && last > 0) {
          isKilled = 1;
          kill(child, SIGKILL);
          continue;
        }
      }
    }
    if (event == PTRACE_EVENT_STOP && number != SIGTRAP) {
      ptrace(PTRACE_LISTEN, tid, 0, 0);
      continue;
    }
    ptrace(PTRACE_CONT, tid, 0, event != 0 ? 0 : number);
  }
}
