#include "os.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void *os_alloc(size_t bytes) {
  if (bytes > SIZE_MAX / 2) return NULL;
  size_t room = (bytes + 127) & ~(size_t)63;
  void *p = aligned_alloc(64, room);
  return p ? memset(p, 0, room) : NULL;
}

void os_free(void *p) { free(p); }

int os_write(int stream, const void *data, size_t n) {
  const char *p = data;
  if (fflush(stdout)) return errno; /* what was printed before comes before */
  while (n) {
    ssize_t k = write(stream, p, n);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return errno;
    p += k, n -= (size_t)k;
  }
  return 0;
}

int os_read(int stream, void *to, size_t room, size_t *got) {
  ssize_t n;
  do n = read(stream, to, room);
  while (n < 0 && errno == EINTR);
  *got = n > 0 ? (size_t)n : 0;
  return n < 0 ? errno : 0;
}

void os_exit(int status) { exit(status); }
int os_make_folder(const char *path) { return mkdir(path, 0777) && errno != EEXIST ? errno : 0; }
void os_remove_file(const char *path) { unlink(path); }
void os_unset(const char *name) { unsetenv(name); }
