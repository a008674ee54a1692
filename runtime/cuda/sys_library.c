/* Libraries opened at run time. Weak: a program without libdl (static, or before glibc 2.34) has no GPU. */
#include "rt_gpu.h"

extern void *dlopen(const char *, int) __attribute__((weak));
extern void *dlsym(void *, const char *) __attribute__((weak));
enum { NOW = 2 /* and local */ };

void *sys_library_open(const char *name) { return dlopen && dlsym ? dlopen(name, NOW) : NULL; }
void *sys_library_symbol(void *library, const char *name) { return dlsym(library, name); }
