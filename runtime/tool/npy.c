#include "rt.h"
#include "sinter.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 1 << 20, PREFIX = 6 };
static const unsigned char MAGIC[PREFIX + 1] = "\x93NUMPY";

typedef struct Type {
  char text[3];
  uint8_t dtype;
} Type;
static const Type TYPES[] = {{"f4", SINTER_F32}, {"f8", SINTER_F64}, {"f2", SINTER_F16}, {"i1", SINTER_I8},
                             {"i2", SINTER_I16}, {"i4", SINTER_I32}, {"i8", SINTER_I64}, {"u1", SINTER_U8},
                             {"u2", SINTER_U16}, {"u4", SINTER_U32}, {"u8", SINTER_U64}, {"b1", SINTER_BOOL}};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

typedef struct Header { /* a Python dict of three keys */
  const char *p, *end, *path;
  char *why;
  NpyArray *a;
  bool fortran;
} Header;

__attribute__((format(printf, 2, 3))) static bool wrong(const Header *h, const char *fmt, ...) {
  va_list ap;
  int n = snprintf(h->why, SINTER_WHY, "%s: ", h->path);
  va_start(ap, fmt);
  if (n < SINTER_WHY) vsnprintf(h->why + n, (size_t)(SINTER_WHY - n), fmt, ap);
  va_end(ap);
  return false;
}

static bool next(Header *h, char c) {
  while (h->p < h->end && (*h->p == ' ' || *h->p == '\t' || *h->p == '\n' || *h->p == '\r')) h->p++;
  if (h->p == h->end || *h->p != c) return false;
  h->p++;
  return true;
}

static bool expect(Header *h, char c) { return next(h, c) || wrong(h, "the header is damaged: '%c' was expected", c); }

static bool string(Header *h, char *out, size_t room) {
  char quote = next(h, '\'') ? '\'' : next(h, '"') ? '"' : 0;
  if (!quote) return wrong(h, "the header is damaged: a text was expected");
  size_t n = 0;
  while (h->p < h->end && *h->p != quote && *h->p != '\\' && n + 1 < room) out[n++] = *h->p++;
  out[n] = 0;
  return expect(h, quote);
}

static bool word(Header *h, const char *w) {
  size_t n = strlen(w);
  next(h, 0); /* skips blanks */
  if ((size_t)(h->end - h->p) < n || memcmp(h->p, w, n) != 0) return false;
  h->p += n;
  return true;
}

static bool descr(Header *h) {
  char d[16] = "";
  if (next(h, '[')) return wrong(h, "records are not read: an array of one element type is expected");
  if (!string(h, d, sizeof d)) return false;
  const char *t = d + (*d && strchr("<>=|", *d) ? 1 : 0);
  for (int i = 0; i < N_TYPES; i++)
    if (strcmp(t, TYPES[i].text) == 0) h->a->dtype = TYPES[i].dtype;
  if (!h->a->dtype && *t == 'O') return wrong(h, "Python objects are not read: an array of numbers is expected");
  if (!h->a->dtype)
    return wrong(h, "the element type '%s' is not known: bool, integers and floats of up to 8 bytes are", d);
  if (*d == '>' && sinter_dtype_size(h->a->dtype) > 1)
    return wrong(h, "its numbers are big-endian ('%s'): save it with astype('<%s')", d, t);
  return true;
}

static bool shape(Header *h) {
  if (!expect(h, '(')) return false;
  while (!next(h, ')')) {
    next(h, 0);
    int64_t v = 0;
    const char *start = h->p;
    for (; h->p < h->end && *h->p >= '0' && *h->p <= '9'; h->p++)
      if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *h->p - '0', &v))
        return wrong(h, "its shape is too large");
    if (h->p == start) return wrong(h, "the header is damaged: a size was expected");
    if (h->p < h->end && *h->p == 'L') h->p++; /* as Python 2 wrote it */
    if (h->a->rank == SINTER_MAX_RANK) return wrong(h, "it has more than %d axes", SINTER_MAX_RANK);
    h->a->dim[h->a->rank++] = v;
    if (__builtin_mul_overflow(h->a->count, v, &h->a->count)) return wrong(h, "its shape is too large");
    if (!next(h, ',')) return expect(h, ')');
  }
  return true;
}

static bool parse(Header *h) {
  bool has_descr = false, has_order = false, has_shape = false;
  h->a->count = 1;
  if (!expect(h, '{')) return false;
  while (!next(h, '}')) {
    char key[20];
    if (!string(h, key, sizeof key) || !expect(h, ':')) return false;
    if (!has_descr && strcmp(key, "descr") == 0) {
      has_descr = true;
      if (!descr(h)) return false;
    } else if (!has_order && strcmp(key, "fortran_order") == 0) {
      has_order = true;
      h->fortran = word(h, "True");
      if (!h->fortran && !word(h, "False")) return wrong(h, "the header is damaged: True or False was expected");
    } else if (!has_shape && strcmp(key, "shape") == 0) {
      has_shape = true;
      if (!shape(h)) return false;
    } else {
      return wrong(h, "the header is damaged: it has a key '%s'", key);
    }
    if (!next(h, ',')) {
      if (!expect(h, '}')) return false;
      break;
    }
  }
  next(h, 0);
  if (h->p != h->end) return wrong(h, "the header is damaged: there is text after its end");
  return (has_descr && has_order && has_shape) ||
         wrong(h, "the header is damaged: descr, fortran_order or shape is missing");
}

/* From column order to row order. */
static void transpose(const NpyArray *a, const char *from, char *to, size_t size) {
  int64_t index[SINTER_MAX_RANK] = {0}, stride[SINTER_MAX_RANK], at = 0;
  for (uint32_t i = 0; i < a->rank; i++) stride[i] = i ? stride[i - 1] * a->dim[i - 1] : 1;
  for (int64_t n = 0; n < a->count; n++) {
    memcpy(to + (size_t)n * size, from + (size_t)at * size, size);
    for (uint32_t i = a->rank; i-- > 0;) {
      at += stride[i];
      if (++index[i] < a->dim[i]) break;
      at -= stride[i] * a->dim[i];
      index[i] = 0;
    }
  }
}

static bool read_data(Header *h, int file, uint64_t at, uint64_t bytes) {
  NpyArray *a = h->a;
  size_t size = sinter_dtype_size(a->dtype);
  int64_t want;
  if (__builtin_mul_overflow(a->count, (int64_t)size, &want)) return wrong(h, "its shape is too large");
  if ((uint64_t)want != bytes - at)
    return wrong(h, "it is %s: its shape wants %lld bytes of data, the file has %llu",
                 (uint64_t)want > bytes - at ? "cut short" : "too long", (long long)want,
                 (unsigned long long)(bytes - at));
  size_t room = ((size_t)want + 127) & ~(size_t)63; /* whole lines: vector loads of the last element stay inside */
  a->data = aligned_alloc(64, room);
  if (!a->data) return wrong(h, "no memory for its %lld bytes", (long long)want);
  int e = sys_read_file(file, a->data, (size_t)want, at);
  if (e) return wrong(h, "it cannot be read: %s", rt_error(e));
  unsigned char *b = a->data;
  if (a->dtype == SINTER_BOOL)
    for (int64_t i = 0; i < a->count; i++) b[i] = b[i] != 0;
  if (!h->fortran || a->rank < 2) return true;
  void *rows = aligned_alloc(64, room);
  if (!rows) return wrong(h, "no memory for its %lld bytes", (long long)want);
  transpose(a, a->data, rows, size);
  free(a->data);
  a->data = rows;
  return true;
}

static bool read_file(Header *h, int file, uint64_t bytes) {
  unsigned char head[12] = {0};
  size_t fixed = 10;
  if (bytes < 10 || sys_read_file(file, head, 10, 0) || memcmp(head, MAGIC, PREFIX) != 0)
    return wrong(h, "it is not a .npy file");
  if (head[6] < 1 || head[6] > 3)
    return wrong(h, "it has the .npy version %d.%d, 1.0 to 3.0 are known", head[6], head[7]);
  uint64_t n = head[8] | (uint64_t)head[9] << 8;
  if (head[6] > 1) {
    fixed = 12;
    if (bytes < 12 || sys_read_file(file, head + 10, 2, 10)) return wrong(h, "it is cut short");
    n |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
  }
  if (n > bytes - fixed) return wrong(h, "it is cut short: its header should have %llu bytes", (unsigned long long)n);
  if (n > HEADER_MAX) return wrong(h, "its header is too long");
  char *text = malloc(n + 1);
  if (!text) return wrong(h, "no memory");
  int e = sys_read_file(file, text, n, fixed);
  h->p = text, h->end = text + n;
  bool good = e ? wrong(h, "it cannot be read: %s", rt_error(e)) : parse(h);
  free(text);
  return good && read_data(h, file, fixed + n, bytes);
}

bool npy_read(NpyArray *a, const char *path, char *why) {
  *a = (NpyArray){0};
  int file;
  uint64_t bytes;
  int e = sys_open_file(path, &file, &bytes);
  if (e) {
    snprintf(why, SINTER_WHY, "cannot open %s: %s", path, rt_error(e));
    return false;
  }
  Header h = {.path = path, .why = why, .a = a};
  bool good = read_file(&h, file, bytes);
  sys_close_file(file);
  if (!good) npy_free(a);
  return good;
}

void npy_free(NpyArray *a) {
  free(a->data);
  *a = (NpyArray){0};
}

bool npy_write(const char *path, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data, char *why) {
  char head[512] = "\x93NUMPY\x01", text[400];
  const char *t = NULL;
  size_t bytes = sinter_dtype_size(dtype), n = 0;
  for (int i = 0; i < N_TYPES; i++)
    if (TYPES[i].dtype == dtype) t = TYPES[i].text;
  if (!t)
    return snprintf(why, SINTER_WHY, "cannot write %s: .npy has no element type %s", path, sinter_dtype_text(dtype)),
           false;
  n += (size_t)snprintf(text + n, sizeof text - n, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                        bytes > 1 ? '<' : '|', t);
  for (uint32_t i = 0; i < rank; i++) {
    n += (size_t)snprintf(text + n, sizeof text - n, rank == 1 ? "%lld," : i ? ", %lld" : "%lld", (long long)dim[i]);
    bytes *= (size_t)dim[i];
  }
  n += (size_t)snprintf(text + n, sizeof text - n, "), }");
  size_t whole = (10 + n + 1 + 63) & ~(size_t)63;
  memset(head + 10, ' ', whole - 10);
  memcpy(head + 10, text, n);
  head[whole - 1] = '\n';
  head[8] = (char)((whole - 10) & 255), head[9] = (char)((whole - 10) >> 8);
  SysPart parts[] = {{head, whole}, {data, bytes}};
  int e = sys_write_file(path, parts, 2);
  if (e) snprintf(why, SINTER_WHY, "cannot write %s: %s", path, rt_error(e));
  return e == 0;
}
