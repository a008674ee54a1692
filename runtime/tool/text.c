#include "text.h"
#include "os.h"
#include "rt.h"

static bool make_room(Text *t, size_t n) {
  if (t->n + n < t->cap) return true;
  size_t cap = 2 * (t->n + n) + 64;
  char *p = t->fixed || t->lost ? NULL : os_alloc(cap);
  if (!p) return t->lost = true, false;
  if (t->n) memcpy(p, t->at, t->n);
  os_free(t->at);
  t->at = p, t->cap = cap;
  return true;
}

char *text_room(Text *t, size_t n) { return make_room(t, n) ? t->at + t->n : NULL; }

void text_write(Text *t, const void *p, size_t n) {
  if (!make_room(t, n)) n = t->fixed && t->cap ? t->cap - 1 - t->n : 0;
  if (n) memcpy(t->at + t->n, p, n);
  t->n += n;
  if (t->at) t->at[t->n] = 0;
}

size_t text_length(const char *s) {
  size_t n = 0;
  while (s[n]) n++;
  return n;
}

void text_put(Text *t, const char *s) { text_write(t, s, text_length(s)); }

static void put_number(Text *t, uint64_t v, unsigned base, bool minus, size_t width) {
  char digits[24], *p = digits + sizeof digits;
  do *--p = "0123456789abcdef"[v % base];
  while (v /= base);
  if (minus) *--p = '-';
  size_t n = (size_t)(digits + sizeof digits - p);
  for (; n < width; width--) text_write(t, " ", 1);
  text_write(t, p, n);
}

void text_vprintf(Text *t, const char *fmt, va_list ap) {
  text_write(t, "", 0);
  for (const char *s = fmt; *s; s++) {
    const char *plain = s;
    while (*s && *s != '%') s++;
    text_write(t, plain, (size_t)(s - plain));
    if (!*s++) return;
    bool left = *s == '-';
    size_t width = 0, most = SIZE_MAX;
    for (s += left; *s >= '0' && *s <= '9'; s++) width = 10 * width + (size_t)(*s - '0');
    if (*s == '.') {
      most = 0;
      if (s[1] == '*') most = (size_t)va_arg(ap, int), s++;
      for (s++; *s >= '0' && *s <= '9'; s++) most = 10 * most + (size_t)(*s - '0');
    }
    int longs = 0;
    for (; *s == 'l' || *s == 'z'; s++) longs++;
    switch (*s) {
    case 's': {
      const char *text = va_arg(ap, const char *);
      size_t n = 0;
      while (n < most && text[n]) n++;
      text_write(t, text, n);
      for (; left && n < width; n++) text_write(t, " ", 1);
      break;
    }
    case 'c': {
      char c = (char)va_arg(ap, int);
      text_write(t, &c, 1);
      break;
    }
    case 'd': {
      int64_t v = longs ? va_arg(ap, long long) : va_arg(ap, int);
      put_number(t, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, v < 0, width);
      break;
    }
    case 'u':
    case 'x':
      put_number(t, longs ? va_arg(ap, unsigned long long) : va_arg(ap, unsigned), *s == 'u' ? 10 : 16, false, width);
      break;
    default: text_write(t, s, 1); /* %% */
    }
  }
}

void text_printf(Text *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(t, fmt, ap);
  va_end(ap);
}

void text_into(char *to, size_t room, const char *fmt, ...) {
  Text t = {.at = to, .cap = room, .fixed = true};
  va_list ap;
  va_start(ap, fmt);
  text_vprintf(&t, fmt, ap);
  va_end(ap);
}

void text_free(Text *t) {
  if (!t->fixed) os_free(t->at);
  *t = (Text){0};
}

const char *text_find(const char *s, char c) {
  for (; *s; s++)
    if (*s == c) return s;
  return NULL;
}

/* Insertions, deletions and changes of a letter that make one word of the other. */
static size_t distance(const char *a, const char *b) {
  enum { LONGEST = 60 };
  size_t n = text_length(a), m = text_length(b), row[LONGEST + 1];
  if (n > LONGEST || m > LONGEST) return SIZE_MAX;
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t before = row[0]++; /* of the row above, one column to the left */
    for (size_t j = 1; j <= m; j++) {
      size_t least = before + (a[i - 1] != b[j - 1]);
      before = row[j];
      if (row[j] + 1 < least) least = row[j] + 1;
      if (row[j - 1] + 1 < least) least = row[j - 1] + 1;
      row[j] = least;
    }
  }
  return row[m];
}

const char *text_nearest(const char *word, const char *const *words, size_t n) {
  const char *nearest = NULL;
  for (size_t i = 0, least = text_length(word) / 3 + 2; i < n; i++) {
    size_t d = distance(word, words[i]);
    if (d < least) nearest = words[i], least = d;
  }
  return nearest;
}
