/* sys.h over the C library. The prototypes are our own and every symbol is in glibc 2.2.5, so that an artefact is built
 * without a C library's headers and loads on old systems. Threads are weak: a program without libpthread has none. */
#include "sys.h"

extern void *mmap(void *, size_t, int, int, int, long);
extern int munmap(void *, size_t);
extern int open(const char *, int, ...);
extern int close(int);
extern long lseek(int, long, int);
extern long pread(int, void *, size_t, long);
extern long write(int, const void *, size_t);
extern int fsync(int);
extern int rename(const char *, const char *);
extern int unlink(const char *);
extern int getpid(void);
extern char *getenv(const char *);
extern int getrlimit(int, unsigned long[2]);
extern int gettimeofday(long[2], void *);
extern long syscall(long, ...);
extern int *__errno_location(void);
extern int pthread_create(unsigned long *, const void *, void *(*)(void *), void *) __attribute__((weak));
extern int pthread_join(unsigned long, void **) __attribute__((weak));

enum { RDONLY = 0, WRONLY = 1, CREATE = 0100, EXCLUSIVE = 0200, NONBLOCK = 04000, CLOEXEC = 02000000 };
enum { INTERRUPTED = 4, FILE_EXISTS = 17, IS_DIRECTORY = 21, INVALID = 22, FILE_TOO_BIG = 27, NAME_TOO_LONG = 36 };
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129, MASK_SET = 2, LIMIT_FILE_SIZE = 1, PATH_BYTES = 4096 };
#if defined __x86_64__
enum { CALL_FUTEX = 202, CALL_AFFINITY = 204, CALL_SIGMASK = 14 };
#elif defined __aarch64__
enum { CALL_FUTEX = 98, CALL_AFFINITY = 123, CALL_SIGMASK = 135 };
#endif

static int error(void) { return *__errno_location(); }

void *sys_alloc(size_t bytes) {
  void *p = mmap(NULL, bytes ? bytes : 1, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0);
  return p == (void *)-1 ? NULL : p;
}

void sys_free(void *p, size_t bytes) {
  if (p) munmap(p, bytes ? bytes : 1);
}

int sys_open_file(const char *path, int *file, uint64_t *bytes) {
  *file = open(path, RDONLY | NONBLOCK | CLOEXEC); /* NONBLOCK: a pipe must not hang us */
  if (*file < 0) return error();
  long n = lseek(*file, 0, 2 /* end */);
  char c;
  int e = n < 0 ? INVALID : pread(*file, &c, 1, 0) < 0 ? error() : 0; /* a directory opens, but does not read */
  if (e) close(*file);
  *bytes = (uint64_t)n;
  return e;
}

int sys_read_file(int file, void *to, size_t bytes, uint64_t at) {
  for (char *p = to; bytes;) {
    long n = pread(file, p, bytes < 1 << 30 ? bytes : 1 << 30, (long)at);
    if (n < 0 && error() == INTERRUPTED) continue;
    if (n < 0) return error();
    if (n == 0) return -1;
    p += n, at += (uint64_t)n, bytes -= (size_t)n;
  }
  return 0;
}

void sys_close_file(int file) { close(file); }

static int write_parts(int file, const SysPart *part, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char *p = part[i].data;
    for (size_t left = part[i].bytes; left;) {
      long done = write(file, p, left < 1 << 30 ? left : 1 << 30);
      if (done < 0 && error() == INTERRUPTED) continue;
      if (done < 0) return error();
      p += done, left -= (size_t)done;
    }
  }
  return fsync(file) ? error() : 0;
}

int sys_write_file(const char *path, const SysPart *part, size_t n) {
  unsigned long limit[2] = {~0ul, ~0ul}, total = 0;
  for (size_t i = 0; i < n; i++) total += part[i].bytes;
  getrlimit(LIMIT_FILE_SIZE, limit);
  if (total > limit[0]) return FILE_TOO_BIG; /* writing beyond the limit would kill the process by a signal */
  char name[PATH_BYTES];
  size_t k = 0;
  for (; path[k] && k < PATH_BYTES - 40; k++) name[k] = path[k];
  if (path[k]) return NAME_TOO_LONG;
  if (k == 0) return 2; /* no such file */
  if (name[k - 1] == '/') return IS_DIRECTORY;
  for (const char *s = ".tmp"; *s; s++) name[k++] = *s;
  for (uint32_t p = sys_process(); p; p /= 10) name[k++] = (char)('0' + p % 10);
  name[k] = name[k + 1] = 0;
  int file = -1;
  for (int i = 0; i < 26 && file < 0; i++) { /* another thread of ours may save beside us */
    name[k] = (char)('a' + i);
    file = open(name, WRONLY | CREATE | EXCLUSIVE | CLOEXEC, 0666);
    if (file < 0 && error() != FILE_EXISTS) return error();
  }
  if (file < 0) return FILE_EXISTS;
  int e = write_parts(file, part, n);
  if (close(file) && !e) e = error();
  if (!e && rename(name, path)) e = error();
  if (e) unlink(name);
  return e;
}

void sys_wait(uint32_t *at, uint32_t value) { syscall(CALL_FUTEX, at, FUTEX_WAIT_PRIVATE, value, NULL); }
void sys_wake(uint32_t *at) { syscall(CALL_FUTEX, at, FUTEX_WAKE_PRIVATE, 0x7fffffff); }

bool sys_thread_start(SysThread *t, void *(*run)(void *), void *arg) {
  if (!pthread_create || !pthread_join) return false;
  uint64_t all = ~0ull, old = 0; /* the program's signals are handled by its own threads */
  syscall(CALL_SIGMASK, MASK_SET, &all, &old, sizeof old);
  unsigned long id = 0;
  int e = pthread_create(&id, NULL, run, arg);
  syscall(CALL_SIGMASK, MASK_SET, &old, NULL, sizeof old);
  t->id = id;
  return e == 0;
}

void sys_thread_join(SysThread t) { pthread_join(t.id, NULL); }

/* Processors' worth of time that the control group of a container grants: "200000 100000" is 2, "max 100000" all. */
static int quota(void) {
  char text[64] = "";
  int file = open("/sys/fs/cgroup/cpu.max", RDONLY | CLOEXEC);
  if (file < 0) return 1 << 20;
  long n = pread(file, text, sizeof text - 1, 0), value[2] = {0, 0};
  close(file);
  if (n <= 0 || text[0] == 'm') return 1 << 20;
  const char *s = text;
  for (int i = 0; i < 2; i++, s++)
    for (; *s >= '0' && *s <= '9' && value[i] < 1l << 40; s++) value[i] = 10 * value[i] + (*s - '0');
  return value[0] > 0 && value[1] > 0 ? (int)((value[0] + value[1] - 1) / value[1] & 0xfffff) : 1 << 20;
}

int sys_cpus(void) {
  unsigned long mask[128];
  long n = syscall(CALL_AFFINITY, 0, sizeof mask, mask); /* bytes */
  int cpus = 0, granted = quota();
  for (long i = 0; i < n / (long)sizeof mask[0]; i++) cpus += __builtin_popcountl(mask[i]);
  if (cpus > granted) cpus = granted;
  return cpus > 0 ? cpus : 1;
}

uint64_t sys_micros(void) {
  long t[2] = {0, 0};
  gettimeofday(t, NULL);
  return (uint64_t)t[0] * 1000000 + (uint64_t)t[1];
}

uint32_t sys_process(void) { return (uint32_t)getpid(); }

const char *sys_env(const char *name) {
  const char *s = getenv(name);
  return s && *s ? s : NULL;
}
