/* What qemu.c and driver.c say to each other over two pipes: a request is its number and then words (int64_t) and bytes
 * as listed; a text is its length and its bytes. One request is answered before the next is sent. */
#ifndef SINTER_TESTS_A64_WIRE_H
#define SINTER_TESTS_A64_WIRE_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

enum { WIRE_DIMS = 64, WIRE_THREADS_MOST = 8, WIRE_NAME = 256 };
enum {               /* words and bytes after it -> answer */
       WIRE_OPEN,    /* seed -> status, weights, text */
       WIRE_CREATE,  /* weights, each dimension of the model -> status, context, text */
       WIRE_CLOSE,   /* weights */
       WIRE_FREE,    /* context */
       WIRE_SET,     /* weights, length of the name, bytes, the name, the data -> status, text */
       WIRE_GET,     /* weights, length of the name, bytes, the name -> status, text, the data */
       WIRE_THREADS, /* context, number -> status */
       WIRE_NUMBER,  /* context, entry, call number */
       WIRE_LEVEL,   /* -> level */
       WIRE_CALL, /* context, entry, its dimensions, bytes of each output, bytes and data of each input -> status, text,
                     the outputs, the inputs */
       WIRE_KERNEL, /* stage, lo, hi, thread, threads, its SinterFail, number of dimensions, they, number of blocks,
                  bytes and data of each, number of buffers, block (or -1) and offset of each -> its SinterFail, the
                  blocks */
};

static inline bool wire_read(int fd, void *to, size_t n) {
  for (char *p = to; n;) {
    ssize_t k = read(fd, p, n);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    p += k, n -= (size_t)k;
  }
  return true;
}

static inline bool wire_write(int fd, const void *from, size_t n) {
  for (const char *p = from; n;) {
    ssize_t k = write(fd, p, n);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    p += k, n -= (size_t)k;
  }
  return true;
}
#endif
