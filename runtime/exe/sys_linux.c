/* sys.h and os.h over the kernel alone, for executables. */
#include "linux.h"
#include "os.h"
#include "sys.h"
#include "sys_raw.h"
#include "exe.h"

static long call(long number, long a, long b, long c) { return linux_call(number, a, b, c, 0, 0, 0); }
static long at(const void *p) { return (long)(uintptr_t)p; }

/* ---- memory ---- */

enum { READ_WRITE = 3, PRIVATE = 0x02, ANONYMOUS = 0x20, NO_RESERVE = 0x4000, STACK = 0x20000 };

static void *map(size_t bytes, int flags) {
  long p = linux_call(CALL_MAP, 0, (long)bytes, READ_WRITE, PRIVATE | ANONYMOUS | flags, -1, 0);
  return p < 0 && p > -4096 ? NULL : (void *)(uintptr_t)p;
}

void *sys_alloc(size_t bytes) { return bytes > SIZE_MAX / 2 ? NULL : map(bytes ? bytes : 1, 0); }

void sys_free(void *p, size_t bytes) {
  if (p) call(CALL_UNMAP, at(p), (long)(bytes ? bytes : 1), 0);
}

enum { LINE = 64 };

void *os_alloc(size_t bytes) { /* its size stands in the line before */
  if (bytes > SIZE_MAX / 2) return NULL;
  size_t whole = LINE + ((bytes + LINE - 1) & ~(size_t)(LINE - 1)) + LINE;
  char *p = sys_alloc(whole);
  if (!p) return NULL;
  *(size_t *)(void *)p = whole;
  return p + LINE;
}

void os_free(void *p) {
  char *block = p ? (char *)p - LINE : NULL;
  if (p) sys_free(block, *(size_t *)(void *)block);
}

/* ---- files and streams ---- */

enum { INTERRUPTED = 4, FILE_EXISTS = 17, NONBLOCK = 04000, CLOEXEC = 02000000, AT_ONCE = 1 << 30 };

long raw_open(const char *path, int how) {
  return linux_call(CALL_OPEN_AT, HERE, at(path), how | NONBLOCK | CLOEXEC, 0666, 0, 0);
}
long raw_close(int file) { return call(CALL_CLOSE, file, 0, 0); }
long raw_size(int file) { return call(CALL_SEEK, file, 0, 2 /* end */); }
long raw_read_at(int file, void *to, size_t n, uint64_t where) {
  return linux_call(CALL_READ_AT, file, at(to), (long)n, (long)where, 0, 0);
}
long raw_write(int file, const void *from, size_t n) { return call(CALL_WRITE, file, at(from), (long)n); }
long raw_sync(int file) { return call(CALL_SYNC, file, 0, 0); }
long raw_rename(const char *from, const char *to) {
  return linux_call(CALL_RENAME_AT, HERE, at(from), HERE, at(to), 0, 0);
}
long raw_unlink(const char *path) { return call(CALL_UNLINK_AT, HERE, at(path), 0); }
long raw_affinity(unsigned long *mask, size_t n) { return call(CALL_AFFINITY, 0, (long)n, at(mask)); }

uint64_t raw_file_limit(void) {
  uint64_t limit[2] = {UINT64_MAX, UINT64_MAX};
  linux_call(CALL_LIMIT, 0, 1 /* file size */, 0, at(limit), 0, 0);
  return limit[0];
}

int os_write(int stream, const void *data, size_t n) {
  for (const char *p = data; n;) {
    long done = raw_write(stream, p, n < AT_ONCE ? n : AT_ONCE);
    if (done == -INTERRUPTED) continue;
    if (done < 0) return (int)-done;
    p += done, n -= (size_t)done;
  }
  return 0;
}

int os_read(int stream, void *to, size_t room, size_t *got) {
  long n;
  do n = call(CALL_READ, stream, at(to), (long)room);
  while (n == -INTERRUPTED);
  *got = n > 0 ? (size_t)n : 0;
  return n < 0 ? (int)-n : 0;
}

int os_make_folder(const char *path) {
  long e = call(CALL_MAKE_FOLDER_AT, HERE, at(path), 0777);
  return e == -FILE_EXISTS ? 0 : (int)-e;
}
void os_remove_file(const char *path) { raw_unlink(path); }

/* ---- threads ---- */

enum { FUTEX_WAIT = 0, FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };
enum { /* of clone: all that threads of a process share; the number is stored, then cleared at the end */
       THREAD = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x100000 | 0x200000
};
enum { GUARD = 1 << 16, STACK_BYTES = 1 << 18 }; /* the guard: whole pages of any size */

void sys_wait(uint32_t *word, uint32_t value) {
  linux_call(CALL_FUTEX, at(word), FUTEX_WAIT_PRIVATE, (long)value, 0, 0, 0);
}
void sys_wake(uint32_t *word) { call(CALL_FUTEX, at(word), FUTEX_WAKE_PRIVATE, 0x7fffffff); }

static uint32_t *thread_number(uintptr_t stack) { return (uint32_t *)(stack + STACK_BYTES - LINE); }

bool sys_thread_start(SysThread *t, void *(*run)(void *), void *arg) {
  char *stack = map(STACK_BYTES, NO_RESERVE | STACK);
  if (!stack) return false;
  t->id = (uintptr_t)stack;
  uint32_t *number = thread_number(t->id);
  if (call(CALL_PROTECT, at(stack), GUARD, 0) == 0 && linux_thread(THREAD, number, number, run, arg) > 0) return true;
  sys_free(stack, STACK_BYTES);
  return false;
}

void sys_thread_join(SysThread t) {
  uint32_t *number = thread_number(t.id);
  for (uint32_t v; (v = __atomic_load_n(number, __ATOMIC_ACQUIRE));)
    linux_call(CALL_FUTEX, at(number), FUTEX_WAIT, (long)v, 0, 0, 0); /* the kernel wakes other processes' too */
  sys_free((void *)t.id, STACK_BYTES);
}

/* ---- the process ---- */

uint64_t sys_micros(void) {
  int64_t t[2] = {0, 0};
  call(CALL_CLOCK, 1 /* monotonic */, at(t), 0);
  return (uint64_t)t[0] * 1000000 + (uint64_t)t[1] / 1000;
}

uint32_t sys_process(void) { return (uint32_t)call(CALL_PROCESS, 0, 0, 0); }

static const char **environment; /* set once, before anything else runs */

static const char *value_of(const char *s, const char *name) { /* of NAME=VALUE; NULL: it is another's */
  while (*name && *s == *name) s++, name++;
  return !*name && *s == '=' ? s + 1 : NULL;
}

const char *sys_env(const char *name) {
  const char *value = NULL;
  for (const char **e = environment; e && *e && !value; e++) value = value_of(*e, name);
  return value && *value ? value : NULL;
}

void os_unset(const char *name) {
  const char **kept = environment;
  for (const char **e = environment; *e; e++)
    if (!value_of(*e, name)) *kept++ = *e;
  *kept = NULL;
}

_Noreturn void os_exit(int status) {
  for (;;) call(CALL_EXIT, status, 0, 0);
}

/* Writing to a pipe that nobody reads, or beyond the limit of a file's size, is an error with a sentence, not a death
 * by signal. */
static void ignore_signals(void) {
  enum { PIPE = 13, FILE_SIZE = 25, IGNORE = 1, MASK_BYTES = 8 };
  const uint64_t action[4] = {IGNORE, 0, 0, 0};
  linux_call(CALL_ACTION, PIPE, at(action), 0, MASK_BYTES, 0, 0);
  linux_call(CALL_ACTION, FILE_SIZE, at(action), 0, MASK_BYTES, 0, 0);
}

__attribute__((visibility("hidden"), used)) _Noreturn void exe_start(const uintptr_t *stack) {
  int argc = (int)stack[0];
  char **argv = (char **)(uintptr_t)(stack + 1);
  environment = (const char **)(uintptr_t)(stack + argc + 2);
  ignore_signals();
  os_exit(exe_main(argc, argv));
}
