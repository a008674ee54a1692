/* All that the runtime inside an artefact wants from the system. sys_libc.c gives it over the C library of any Linux
 * since glibc 2.2.5; executables without a C library will have their own file. Errors are errno numbers, 0 is success;
 * nothing here keeps state. */
#ifndef SINTER_SYS_H
#define SINTER_SYS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *sys_alloc(size_t bytes); /* zeroed, aligned to at least 64; NULL: none left */
void sys_free(void *, size_t bytes);

int sys_open_file(const char *path, int *file, uint64_t *bytes);  /* an ordinary file, to read */
int sys_read_file(int file, void *to, size_t bytes, uint64_t at); /* exactly that many; -1: the file is shorter */
void sys_close_file(int file);

typedef struct SysPart {
  const void *data;
  size_t bytes;
} SysPart;
/* Writes the parts one after another: to a temporary file beside `path`, which takes its name only when all is on the
 * disk. After an error no file is left and what stood at `path` is as it was. */
int sys_write_file(const char *path, const SysPart *, size_t n);

void sys_wait(uint32_t *at, uint32_t value); /* sleeps while *at == value; may return early */
void sys_wake(uint32_t *at);                 /* wakes all who sleep at it */

typedef struct SysThread {
  uintptr_t id;
} SysThread;
bool sys_thread_start(SysThread *, void *(*run)(void *), void *arg); /* with all signals blocked */
void sys_thread_join(SysThread);

int sys_cpus(void);        /* processors that this thread may use; at least 1 */
uint64_t sys_micros(void); /* a clock for waiting; it may jump */
uint32_t sys_process(void);
const char *sys_env(const char *name); /* NULL when unset or empty */
#endif
