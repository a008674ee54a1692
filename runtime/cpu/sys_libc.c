/* sys.h over the C library. The prototypes are our own and every symbol is in glibc 2.2.5, so that an artefact is built
 * without a C library's headers and loads on old systems. Threads are weak: a program without libpthread has none. */
#include "sys.h"
#include "sys_raw.h"

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

enum { NONBLOCK = 04000, CLOEXEC = 02000000, FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129, MASK_SET = 2 };
#if defined __x86_64__
enum { CALL_FUTEX = 202, CALL_AFFINITY = 204, CALL_SIGMASK = 14 };
#elif defined __aarch64__
enum { CALL_FUTEX = 98, CALL_AFFINITY = 123, CALL_SIGMASK = 135 };
#endif

static long result(long r) { return r < 0 ? -*__errno_location() : r; }

void *sys_alloc(size_t bytes) {
  void *p = mmap(NULL, bytes ? bytes : 1, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0);
  return p == (void *)-1 ? NULL : p;
}

void sys_free(void *p, size_t bytes) {
  if (p) munmap(p, bytes ? bytes : 1);
}

long raw_open(const char *path, int how) { return result(open(path, how | NONBLOCK | CLOEXEC, 0666)); }
long raw_close(int file) { return result(close(file)); }
long raw_size(int file) { return result(lseek(file, 0, 2 /* end */)); }
long raw_read_at(int file, void *to, size_t n, uint64_t at) { return result(pread(file, to, n, (long)at)); }
long raw_write(int file, const void *from, size_t n) { return result(write(file, from, n)); }
long raw_sync(int file) { return result(fsync(file)); }
long raw_rename(const char *from, const char *to) { return result(rename(from, to)); }
long raw_unlink(const char *path) { return result(unlink(path)); }
long raw_affinity(unsigned long *mask, size_t n) { return result(syscall(CALL_AFFINITY, 0, n, mask)); }

uint64_t raw_file_limit(void) {
  unsigned long limit[2] = {~0ul, ~0ul};
  getrlimit(1 /* file size */, limit);
  return limit[0];
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
