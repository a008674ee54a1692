/* Libraries opened at run time. Weak: a program without libdl (before glibc 2.34) has no GPU. */
#include "rt_gpu.h"

extern void *dlopen(const char *, int) __attribute__((weak));
extern void *dlsym(void *, const char *) __attribute__((weak));
enum { NOW = 2 /* and local */ };

typedef struct Dynamic { /* Elf64_Dyn */
  int64_t tag;
  uint64_t value;
} Dynamic;
enum { NONE = 0, NEEDED = 1 };
extern const Dynamic _DYNAMIC[] __attribute__((weak, visibility("hidden"))); /* the linker's */

bool sys_library_any(void) {
  const Dynamic *d = _DYNAMIC;
  while (d && d->tag != NONE && d->tag != NEEDED) d++;
  return d && d->tag == NEEDED && dlopen && dlsym;
}

void *sys_library_open(const char *name) { return dlopen(name, NOW); }
void *sys_library_symbol(void *library, const char *name) { return dlsym(library, name); }
