/* What the emulator tells ThreadSanitizer (with EMULATOR_TSAN defined; else nothing). The kernels are built with
 * -fsanitize=thread, the emulator is not: its own work is invisible, and it reports the accesses it makes for a kernel.
 * Every GPU thread and every asynchronous operation is a fiber of the sanitizer's. A new fiber knows what the one that
 * made it knew; after that only acquire brings knowledge, switching does not. */
#ifndef SINTER_EMU_RACE_H
#define SINTER_EMU_RACE_H
#include <stddef.h>
#include <string.h>

#ifdef EMULATOR_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *);
void __tsan_release(void *);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_read_range(void *, unsigned long bytes);
void __tsan_write_range(void *, unsigned long bytes);

enum { RACE_ON = 1, RACE_NO_SYNC = 1 };
static inline void *race_current(void) { return __tsan_get_current_fiber(); }
static inline void *race_new(void) { return __tsan_create_fiber(0); }
static inline void race_end(void *fiber) { __tsan_destroy_fiber(fiber); }
static inline void race_switch(void *fiber) { __tsan_switch_to_fiber(fiber, RACE_NO_SYNC); }
static inline void race_acquire(const void *p) { __tsan_acquire((void *)p); }
static inline void race_release(const void *p) { __tsan_release((void *)p); }
/* pc: where the kernel asked for it, so that reports show the kernel's line */
static inline void race_read(void *pc, const void *p, size_t n) {
  __tsan_func_entry(pc);
  if (n) __tsan_read_range((void *)p, n);
  __tsan_func_exit();
}
static inline void race_write(void *pc, const void *p, size_t n) {
  __tsan_func_entry(pc);
  if (n) __tsan_write_range((void *)p, n);
  __tsan_func_exit();
}
/* The sanitizer intercepts memcpy and memset, which compilers also call for assignments: within the emulator these
 * names are functions that it does not see. */
static __attribute__((used)) void *emu_plain_memcpy(void *to, const void *from, size_t n) {
  volatile unsigned char *t = to;
  for (const unsigned char *f = from; n; n--) *t++ = *f++;
  return to;
}
static __attribute__((used)) void *emu_plain_memset(void *to, int byte, size_t n) {
  for (volatile unsigned char *t = to; n; n--) *t++ = (unsigned char)byte;
  return to;
}
__asm__(".set memcpy, emu_plain_memcpy\n.set memset, emu_plain_memset");
#else
enum { RACE_ON = 0 };
static inline void *race_current(void) { return NULL; }
static inline void *race_new(void) { return NULL; }
static inline void race_end(void *fiber) { (void)fiber; }
static inline void race_switch(void *fiber) { (void)fiber; }
static inline void race_acquire(const void *p) { (void)p; }
static inline void race_release(const void *p) { (void)p; }
static inline void race_read(void *pc, const void *p, size_t n) { (void)pc, (void)p, (void)n; }
static inline void race_write(void *pc, const void *p, size_t n) { (void)pc, (void)p, (void)n; }
#endif

#define EMU_CALLER __builtin_return_address(0)
#endif
