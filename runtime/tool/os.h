/* What programs want of the system beyond sys.h, which is for artefacts: os_libc.c gives it over the C library,
 * exe/sys_linux.c without. Errors are errno numbers, 0 is success. */
#ifndef SINTER_OS_H
#define SINTER_OS_H
#include <stddef.h>

/* Zeroed, aligned to 64, with whole lines of 64 bytes beyond the last byte, so that vector loads of the last element
 * stay inside. NULL: none left. */
void *os_alloc(size_t bytes);
void os_free(void *);

enum { OS_INPUT = 0, OS_OUTPUT = 1, OS_ERROR = 2 };
int os_write(int stream, const void *, size_t); /* all of it */
/* At least one byte, unless the stream has ended: *got is 0 then. */
int os_read(int stream, void *, size_t room, size_t *got);
_Noreturn void os_exit(int status);
int os_make_folder(const char *path); /* one that is there already is a success */
void os_remove_file(const char *path);
void os_unset(const char *name); /* the environment has it no more */
#endif
