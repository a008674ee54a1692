/* The kernel's interface, for programs without a C library: numbers of the calls, and how they are made. What else
 * depends on the processor is in start.c. */
#ifndef SINTER_LINUX_H
#define SINTER_LINUX_H
#include <stddef.h>
#include <stdint.h>

#if defined __x86_64__
#define CALL(NAME, X86_64, AARCH64) CALL_##NAME = X86_64,
#elif defined __aarch64__
#define CALL(NAME, X86_64, AARCH64) CALL_##NAME = AARCH64,
#endif
enum {
  CALL(READ, 0, 63) CALL(WRITE, 1, 64) CALL(CLOSE, 3, 57) CALL(SEEK, 8, 62) CALL(MAP, 9, 222) CALL(PROTECT, 10, 226)
      CALL(UNMAP, 11, 215) CALL(ACTION, 13, 134) CALL(READ_AT, 17, 67) CALL(PROCESS, 39, 172) CALL(CLONE, 56, 220)
          CALL(EXIT_THREAD, 60, 93) CALL(SYNC, 74, 82) CALL(FUTEX, 202, 98) CALL(AFFINITY, 204, 123)
              CALL(CLOCK, 228, 113) CALL(EXIT, 231, 94) CALL(OPEN_AT, 257, 56) CALL(MAKE_FOLDER_AT, 258, 34)
                  CALL(UNLINK_AT, 263, 35) CALL(RENAME_AT, 264, 38) CALL(LIMIT, 302, 261)
};
#undef CALL
enum { HERE = -100 /* as the folder of the _AT calls: the working folder */ };

/* A negative result is an error: minus its errno number. */
static inline long linux_call(long number, long a, long b, long c, long d, long e, long f) {
#if defined __x86_64__
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined __aarch64__
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return x0;
#endif
}

/* start.c: starts a thread that runs run(arg) on the stack that ends at `top`, and ends with it. *id is its number,
 * until the kernel sets it to 0 and wakes who waits there. */
long linux_thread(uint64_t flags, void *top, uint32_t *id, void *(*run)(void *), void *arg);
#endif
