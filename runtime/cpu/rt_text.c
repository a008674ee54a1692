#include "rt.h"
#include <stdarg.h>

static void put(char *message, size_t *n, const char *s) {
  while (*s && *n < RT_MESSAGE - 1) message[(*n)++] = *s++;
  if (*s)
    for (int i = 1; i <= 3; i++) message[RT_MESSAGE - 1 - i] = '.';
  message[*n] = 0;
}

static void append(char *message, const char *fmt, va_list ap) {
  size_t n = 0;
  while (message[n]) n++;
  for (; *fmt; fmt++) {
    char one[24] = {*fmt};
    const char *s = one;
    if (*fmt == '%') {
      fmt++;
      if (*fmt == 's') {
        s = va_arg(ap, const char *);
      } else if (*fmt == 'd' || *fmt == 'u') {
        uint64_t v = va_arg(ap, uint64_t);
        bool minus = *fmt == 'd' && (int64_t)v < 0;
        if (minus) v = 0 - v;
        char *p = one + sizeof one - 1;
        *p = 0;
        do *--p = (char)('0' + v % 10);
        while (v /= 10);
        if (minus) *--p = '-';
        s = p;
      }
    }
    put(message, &n, s);
  }
}

void rt_append(char *message, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  append(message, fmt, ap);
  va_end(ap);
}

int rt_fail(char *message, int status, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  message[0] = 0;
  append(message, fmt, ap);
  va_end(ap);
  return status;
}

const char *rt_error(int error) {
  switch (error) {
  case -1: return "it became shorter while it was read";
  case 1:
  case 13: return "no permission";
  case 2: return "there is no such file or folder";
  case 5: return "the disk failed";
  case 9: return "it is closed";
  case 12: return "no memory";
  case 17: return "temporary files of the same name are in the way";
  case 20: return "a part of the path is not a folder";
  case 21: return "it is a folder";
  case 22: return "it is not an ordinary file";
  case 24: return "too many open files";
  case 27: return "the file would be larger than this process may write";
  case 28: return "the disk is full";
  case 30: return "the file system cannot be written";
  case 32: return "nobody reads it any more";
  case 36: return "the path is too long";
  case 40: return "too many links in the path";
  case 122: return "the disk quota is used up";
  default: return "the system refused it";
  }
}

bool rt_equal(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

bool rt_starts(const char *s, const char *prefix) {
  while (*prefix && *s == *prefix) s++, prefix++;
  return !*prefix;
}

const char *rt_dtype(uint32_t dtype) {
  static const char name[][5] = {"?",   "f32", "f64", "f16", "bf16", "i8",  "i16",
                                 "i32", "i64", "u8",  "u16", "u32",  "u64", "bool"};
  return name[dtype <= SINTER_BOOL ? dtype : 0];
}

uint32_t rt_dtype_size(uint32_t dtype) {
  static const uint8_t size[] = {0, 4, 8, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
  return size[dtype <= SINTER_BOOL ? dtype : 0];
}

void rt_append_shape(char *m, const char *type, uint32_t rank, const int64_t *dim) {
  rt_append(m, "%s[", type);
  for (uint32_t i = 0; i < rank && i < SINTER_MAX_RANK; i++) rt_append(m, i ? ", %d" : "%d", dim[i]);
  rt_append(m, rank > SINTER_MAX_RANK ? ", ...]" : "]");
}
