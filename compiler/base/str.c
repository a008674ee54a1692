#include "str.h"
#include "vec.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void *vec_grow_(Arena *a, void *at, uint32_t n, uint32_t *cap, uint32_t want, size_t size) {
  uint32_t c = *cap ? *cap * 2 : 8;
  while (c < want) c *= 2;
  void *p = arena_alloc(a, (size_t)c * size);
  if (n) memcpy(p, at, (size_t)n * size);
  *cap = c;
  return p;
}

struct StrTab {
  Arena *arena;
  const char **slot;
  uint32_t n, cap;
};

StrTab *strtab_new(Arena *a) {
  StrTab *t = ARENA_NEW(a, StrTab);
  t->arena = a;
  t->cap = 256;
  t->slot = ARENA_ARRAY(a, const char *, t->cap);
  return t;
}

static void strtab_grow(StrTab *t) {
  const char **old = t->slot;
  uint32_t cap = t->cap;
  t->cap *= 2;
  t->slot = ARENA_ARRAY(t->arena, const char *, t->cap);
  for (uint32_t i = 0; i < cap; i++)
    if (old[i]) {
      uint32_t k = (uint32_t)hash_bytes(old[i], strlen(old[i]), 0) & (t->cap - 1);
      while (t->slot[k]) k = (k + 1) & (t->cap - 1);
      t->slot[k] = old[i];
    }
}

const char *str_intern_n(StrTab *t, const char *s, size_t n) {
  if (t->n * 2 >= t->cap) strtab_grow(t);
  uint32_t k = (uint32_t)hash_bytes(s, n, 0) & (t->cap - 1);
  for (; t->slot[k]; k = (k + 1) & (t->cap - 1))
    if (strlen(t->slot[k]) == n && !memcmp(t->slot[k], s, n)) return t->slot[k];
  t->n++;
  return t->slot[k] = arena_strndup(t->arena, s, n);
}

const char *str_intern(StrTab *t, const char *s) { return str_intern_n(t, s, strlen(s)); }

void buf_write(Buf *b, const void *p, size_t n) {
  if (b->n + n + 1 > b->cap) {
    b->cap = (b->n + n + 1) * 2;
    b->at = mem_grow(b->at, b->cap);
  }
  if (n) memcpy(b->at + b->n, p, n);
  b->n += n;
  b->at[b->n] = 0;
}

void buf_put(Buf *b, const char *s) { buf_write(b, s, strlen(s)); }

void buf_printf(Buf *b, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (b->n + (size_t)n + 1 > b->cap) {
    b->cap = (b->n + (size_t)n + 1) * 2;
    b->at = mem_grow(b->at, b->cap);
  }
  vsnprintf(b->at + b->n, (size_t)n + 1, fmt, again);
  va_end(again);
  b->n += (size_t)n;
}

void buf_free(Buf *b) {
  free(b->at);
  *b = (Buf){0};
}

uint64_t hash_bytes(const void *p, size_t n, uint64_t h) {
  const unsigned char *s = p;
  h ^= 0x9E3779B97F4A7C15u + n;
  for (; n >= 8; n -= 8, s += 8) {
    uint64_t w;
    memcpy(&w, s, 8);
    h = (h ^ w) * 0xFF51AFD7ED558CCDu;
    h ^= h >> 32;
  }
  for (; n; n--, s++) h = (h ^ *s) * 0x100000001B3u;
  h *= 0xC4CEB9FE1A85EC53u;
  return h ^ h >> 29;
}

uint32_t hash_fnv32(const char *s) {
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
  return h;
}

static uint64_t crc64_byte(uint64_t crc) {
  for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0xC96C5795D7870F42u & (0 - (crc & 1)));
  return crc;
}

uint64_t crc64(const void *p, size_t n, uint64_t crc) {
  const unsigned char *s = p;
  crc = ~crc;
  if (n >= 1 << 14) { /* long enough for tables to pay: eight bytes at a time */
    uint64_t t[8][256];
    for (unsigned i = 0; i < 256; i++) t[0][i] = crc64_byte(i);
    for (int k = 1; k < 8; k++)
      for (unsigned i = 0; i < 256; i++) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255];
    for (; n >= 8; n -= 8, s += 8) {
      uint64_t w = 0;
      for (int k = 0; k < 8; k++) w |= (uint64_t)s[k] << 8 * k;
      w ^= crc;
      crc = 0;
      for (int k = 0; k < 8; k++) crc ^= t[7 - k][w >> 8 * k & 255];
    }
  }
  for (; n; n--, s++) crc = crc64_byte(crc ^ *s);
  return ~crc;
}

static size_t distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b), row[64];
  if (n >= 60 || m >= 60) return 99;
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t diag = row[0];
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      size_t up = row[j], best = diag + (a[i - 1] != b[j - 1]);
      if (up + 1 < best) best = up + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      diag = up;
      row[j] = best;
    }
  }
  return row[m];
}

const char *str_nearest(const char *word, const char *const *words, size_t n) {
  const char *best = NULL;
  size_t least = strlen(word) / 3 + 1;
  for (size_t i = 0; i < n; i++) {
    size_t d = distance(word, words[i]);
    if (d <= least && (!best || d < least)) {
      best = words[i];
      least = d;
    }
  }
  return best;
}

bool str_match(const char *p, const char *s) {
  const char *star = NULL, *back = NULL;
  while (*s) {
    if (*p == '*') {
      star = p++;
      back = s;
    } else if (*p == '?' || *p == *s) {
      p++;
      s++;
    } else if (star) {
      p = star + 1;
      s = ++back;
    } else
      return false;
  }
  while (*p == '*') p++;
  return !*p;
}

char *format_float(char *out, double x, int digits) {
  if (isnan(x)) return strcpy(out, "nan");
  if (isinf(x)) return strcpy(out, x > 0 ? "inf" : "-inf");
  int d = 1;
  for (; d <= digits; d++) {
    snprintf(out, 32, "%.*e", d - 1, x);
    double y = strtod(out, NULL);
    if (digits <= 9 ? (float)y == (float)x : y == x) break;
  }
  int exponent = atoi(strchr(out, 'e') + 1), after = d - 1 - exponent;
  if (exponent >= -4 && exponent < 9)
    snprintf(out, 32, "%.*f", after > 1 ? after : 1, strtod(out, NULL));
  else
    snprintf(out, 32, "%.*g", d, x);
  return out;
}

char *file_read(Arena *a, const char *path, size_t *n, const char **why) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) < 0) {
    *why = arena_printf(a, "cannot open %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return NULL;
  }
  if (!S_ISREG(st.st_mode)) {
    *why = arena_printf(a, "%s is not a file", path);
    close(fd);
    return NULL;
  }
  char *p = arena_alloc(a, (size_t)st.st_size + 1);
  size_t at = 0;
  while (at < (size_t)st.st_size) {
    ssize_t k = read(fd, p + at, (size_t)st.st_size - at);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) {
      *why = arena_printf(a, "cannot read %s: %s", path, k ? strerror(errno) : "it became shorter");
      close(fd);
      return NULL;
    }
    at += (size_t)k;
  }
  close(fd);
  *n = at;
  return p;
}

bool file_write(Arena *a, const char *path, const void *p, size_t n, const char **why) {
  struct stat st;
  if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
    *why = arena_printf(a, "cannot write %s: it is a folder", path);
    return false;
  }
  char *tmp = arena_printf(a, "%s.tmp.%ld", path, (long)getpid());
  int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  const char *at = p;
  bool ok = fd >= 0;
  while (ok && n) {
    ssize_t k = write(fd, at, n);
    if (k < 0 && errno == EINTR) continue;
    ok = k > 0;
    if (ok) at += k, n -= (size_t)k;
  }
  int saved = errno;
  if (fd >= 0 && close(fd) < 0 && ok) ok = false, saved = errno;
  if (ok && rename(tmp, path) < 0) ok = false, saved = errno;
  if (!ok) {
    if (fd >= 0) unlink(tmp);
    *why = arena_printf(a, "cannot write %s: %s", path, strerror(saved));
  }
  return ok;
}
