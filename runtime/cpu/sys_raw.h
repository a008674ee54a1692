/* System calls on files as sys_file.c wants them: from the C library (sys_libc.c) or the kernel itself
 * (exe/sys_linux.c). A negative result is an error: minus its errno number. */
#ifndef SINTER_SYS_RAW_H
#define SINTER_SYS_RAW_H
#include <stddef.h>
#include <stdint.h>

#define RAW extern __attribute__((visibility("hidden")))
enum { RAW_READ = 0, RAW_CREATE = 01 | 0100 | 0200 /* to write, a file that is not there yet */ };
RAW long raw_open(const char *path, int how); /* closed in programs that are started; a pipe does not wait */
RAW long raw_close(int file);
RAW long raw_size(int file); /* of an ordinary file: where its end is */
RAW long raw_read_at(int file, void *, size_t, uint64_t at);
RAW long raw_write(int file, const void *, size_t);
RAW long raw_sync(int file);
RAW long raw_rename(const char *from, const char *to);
RAW long raw_unlink(const char *path);
RAW uint64_t raw_file_limit(void);                /* bytes that this process may make a file long */
RAW long raw_affinity(unsigned long *, size_t n); /* a bit for each processor that may be used; bytes set */
#endif
