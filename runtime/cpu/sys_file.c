/* The part of sys.h that is logic, over sys_raw.h. */
#include "sys.h"
#include "sys_raw.h"

enum { NO_ENTRY = 2, INTERRUPTED = 4, FILE_EXISTS = 17, IS_DIRECTORY = 21, INVALID = 22, FILE_TOO_BIG = 27 };
enum { NAME_TOO_LONG = 36, PATH_BYTES = 4096, AT_ONCE = 1 << 30 };

int sys_open_file(const char *path, int *file, uint64_t *bytes) {
  long f = raw_open(path, RAW_READ);
  if (f < 0) return (int)-f;
  long n = raw_size((int)f);
  char c;
  long e = n < 0 ? -INVALID : raw_read_at((int)f, &c, 1, 0); /* a directory opens, but does not read */
  if (e < 0) {
    raw_close((int)f);
    return (int)-e;
  }
  *file = (int)f;
  *bytes = (uint64_t)n;
  return 0;
}

int sys_read_file(int file, void *to, size_t bytes, uint64_t at) {
  for (char *p = to; bytes;) {
    long n = raw_read_at(file, p, bytes < AT_ONCE ? bytes : AT_ONCE, at);
    if (n == -INTERRUPTED) continue;
    if (n < 0) return (int)-n;
    if (n == 0) return -1;
    p += n, at += (uint64_t)n, bytes -= (size_t)n;
  }
  return 0;
}

void sys_close_file(int file) { raw_close(file); }

static int write_parts(int file, const SysPart *part, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char *p = part[i].data;
    for (size_t left = part[i].bytes; left;) {
      long done = raw_write(file, p, left < AT_ONCE ? left : AT_ONCE);
      if (done == -INTERRUPTED) continue;
      if (done < 0) return (int)-done;
      p += done, left -= (size_t)done;
    }
  }
  return (int)-raw_sync(file);
}

int sys_write_file(const char *path, const SysPart *part, size_t n) {
  uint64_t total = 0;
  for (size_t i = 0; i < n; i++) total += part[i].bytes;
  if (total > raw_file_limit()) return FILE_TOO_BIG; /* writing beyond the limit would kill the process by a signal */
  char name[PATH_BYTES];
  size_t k = 0;
  for (; path[k] && k < PATH_BYTES - 40; k++) name[k] = path[k];
  if (path[k]) return NAME_TOO_LONG;
  if (k == 0) return NO_ENTRY;
  if (name[k - 1] == '/') return IS_DIRECTORY;
  for (const char *s = ".tmp"; *s; s++) name[k++] = *s;
  for (uint32_t p = sys_process(); p; p /= 10) name[k++] = (char)('0' + p % 10);
  name[k] = name[k + 1] = 0;
  long file = -FILE_EXISTS;
  for (int i = 0; i < 26 && file == -FILE_EXISTS; i++) { /* another thread of ours may save beside us */
    name[k] = (char)('a' + i);
    file = raw_open(name, RAW_CREATE);
  }
  if (file < 0) return (int)-file;
  long e = -write_parts((int)file, part, n), closed = raw_close((int)file);
  if (!e) e = closed;
  if (!e) e = raw_rename(name, path);
  if (e) raw_unlink(name);
  return (int)-e;
}

/* Processors' worth of time that the control group of a container grants: "200000 100000" is 2, "max 100000" all. */
static int quota(void) {
  char text[64] = "";
  long file = raw_open("/sys/fs/cgroup/cpu.max", RAW_READ), value[2] = {0, 0};
  if (file < 0) return 1 << 20;
  long n = raw_read_at((int)file, text, sizeof text - 1, 0);
  raw_close((int)file);
  if (n <= 0 || text[0] == 'm') return 1 << 20;
  const char *s = text;
  for (int i = 0; i < 2; i++, s++)
    for (; *s >= '0' && *s <= '9' && value[i] < 1l << 40; s++) value[i] = 10 * value[i] + (*s - '0');
  return value[0] > 0 && value[1] > 0 ? (int)((value[0] + value[1] - 1) / value[1] & 0xfffff) : 1 << 20;
}

int sys_cpus(void) {
  unsigned long mask[128];
  long n = raw_affinity(mask, sizeof mask);
  int cpus = 0, granted = quota();
  for (long i = 0; i < n / (long)sizeof mask[0]; i++) cpus += __builtin_popcountl(mask[i]);
  if (cpus > granted) cpus = granted;
  return cpus > 0 ? cpus : 1;
}
