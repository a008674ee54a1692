#include "os.h"
#include "rt.h"
#include "sinter.h"
#include "text.h"

enum { HEADER_MAX = 1 << 20, PREFIX = 6 };
static const unsigned char MAGIC[PREFIX + 1] = "\x93NUMPY";

typedef struct Type {
  char text[3];
  uint8_t dtype;
} Type;
/* V2: two bytes of which NumPy knows nothing. It has no bf16; the ml_dtypes that others add are saved so. */
static const Type TYPES[] = {{"f4", SINTER_F32}, {"f8", SINTER_F64}, {"f2", SINTER_F16}, {"V2", SINTER_BF16},
                             {"i1", SINTER_I8},  {"i2", SINTER_I16}, {"i4", SINTER_I32}, {"i8", SINTER_I64},
                             {"u1", SINTER_U8},  {"u2", SINTER_U16}, {"u4", SINTER_U32}, {"u8", SINTER_U64},
                             {"b1", SINTER_BOOL}};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

typedef struct Header { /* a Python dict of three keys */
  const char *p, *end, *path;
  char *why;
  NpyArray *a;
  bool fortran;
} Header;

__attribute__((format(printf, 2, 3))) static bool wrong(const Header *h, const char *fmt, ...) {
  Text t = {.at = h->why, .cap = SINTER_WHY, .fixed = true};
  va_list ap;
  text_printf(&t, "%s: ", h->path);
  va_start(ap, fmt);
  text_vprintf(&t, fmt, ap);
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
  size_t n = text_length(w);
  next(h, 0); /* skips blanks */
  if ((size_t)(h->end - h->p) < n || memcmp(h->p, w, n) != 0) return false;
  h->p += n;
  return true;
}

static bool descr(Header *h) {
  char d[16] = "";
  if (next(h, '[')) return wrong(h, "records are not read: an array of one element type is expected");
  if (!string(h, d, sizeof d)) return false;
  const char *t = d + (*d && text_find("<>=|", *d) ? 1 : 0);
  for (int i = 0; i < N_TYPES; i++)
    if (rt_equal(t, TYPES[i].text)) h->a->dtype = TYPES[i].dtype;
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
    if (!has_descr && rt_equal(key, "descr")) {
      has_descr = true;
      if (!descr(h)) return false;
    } else if (!has_order && rt_equal(key, "fortran_order")) {
      has_order = true;
      h->fortran = word(h, "True");
      if (!h->fortran && !word(h, "False")) return wrong(h, "the header is damaged: True or False was expected");
    } else if (!has_shape && rt_equal(key, "shape")) {
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

typedef struct Source { /* a file, or bytes in memory */
  int file;
  const unsigned char *memory;
  uint64_t bytes;
} Source;

static int read_at(const Source *s, void *to, size_t n, uint64_t at) {
  if (!s->memory) return sys_read_file(s->file, to, n, at);
  if (n) memcpy(to, s->memory + at, n);
  return 0;
}

static bool read_data(Header *h, const Source *s, uint64_t at) {
  NpyArray *a = h->a;
  size_t size = sinter_dtype_size(a->dtype);
  int64_t want;
  if (__builtin_mul_overflow(a->count, (int64_t)size, &want)) return wrong(h, "its shape is too large");
  uint64_t have = s->bytes - at;
  if ((uint64_t)want != have)
    return wrong(h, "it is %s: its shape wants %lld bytes of data, the file has %llu",
                 (uint64_t)want > have ? "cut short" : "too long", (long long)want, (unsigned long long)have);
  a->data = os_alloc((size_t)want);
  if (!a->data) return wrong(h, "no memory for its %lld bytes", (long long)want);
  int e = read_at(s, a->data, (size_t)want, at);
  if (e) return wrong(h, "it cannot be read: %s", rt_error(e));
  unsigned char *b = a->data;
  if (a->dtype == SINTER_BOOL)
    for (int64_t i = 0; i < a->count; i++) b[i] = b[i] != 0;
  if (!h->fortran || a->rank < 2) return true;
  void *rows = os_alloc((size_t)want);
  if (!rows) return wrong(h, "no memory for its %lld bytes", (long long)want);
  transpose(a, a->data, rows, size);
  os_free(a->data);
  a->data = rows;
  return true;
}

static bool read_source(Header *h, const Source *s) {
  unsigned char head[12] = {0};
  size_t fixed = 10;
  if (s->bytes < 10 || read_at(s, head, 10, 0) || memcmp(head, MAGIC, PREFIX) != 0)
    return wrong(h, "it is not a .npy file");
  if (head[6] < 1 || head[6] > 3)
    return wrong(h, "it has the .npy version %d.%d, 1.0 to 3.0 are known", head[6], head[7]);
  uint64_t n = head[8] | (uint64_t)head[9] << 8;
  if (head[6] > 1) {
    fixed = 12;
    if (s->bytes < 12 || read_at(s, head + 10, 2, 10)) return wrong(h, "it is cut short");
    n |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
  }
  if (n > s->bytes - fixed)
    return wrong(h, "it is cut short: its header should have %llu bytes", (unsigned long long)n);
  if (n > HEADER_MAX) return wrong(h, "its header is too long");
  char *text = os_alloc(n + 1);
  if (!text) return wrong(h, "no memory");
  int e = read_at(s, text, n, fixed);
  h->p = text, h->end = text + n;
  bool good = e ? wrong(h, "it cannot be read: %s", rt_error(e)) : parse(h);
  os_free(text);
  return good && read_data(h, s, fixed + n);
}

bool npy_read(NpyArray *a, const char *path, char *why) {
  *a = (NpyArray){0};
  Source s = {0};
  int e = sys_open_file(path, &s.file, &s.bytes);
  if (e) {
    text_into(why, SINTER_WHY, "cannot open %s: %s", path, rt_error(e));
    return false;
  }
  Header h = {.path = path, .why = why, .a = a};
  bool good = read_source(&h, &s);
  sys_close_file(s.file);
  if (!good) npy_free(a);
  return good;
}

bool npy_parse(NpyArray *a, const char *name, const void *bytes, size_t n, char *why) {
  *a = (NpyArray){0};
  Source s = {.memory = bytes, .bytes = n};
  Header h = {.path = name, .why = why, .a = a};
  bool good = read_source(&h, &s);
  if (!good) npy_free(a);
  return good;
}

void npy_free(NpyArray *a) {
  os_free(a->data);
  *a = (NpyArray){0};
}

size_t npy_head(char head[NPY_HEAD], uint32_t dtype, uint32_t rank, const int64_t *dim) {
  const char *type = NULL;
  for (int i = 0; i < N_TYPES; i++)
    if (TYPES[i].dtype == dtype) type = TYPES[i].text;
  if (!type) return 0;
  Text t = {.at = head, .cap = NPY_HEAD, .fixed = true};
  text_write(&t, "\x93NUMPY\x01\0\0", 10);
  text_printf(&t, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", sinter_dtype_size(dtype) > 1 ? '<' : '|',
              type);
  for (uint32_t i = 0; i < rank; i++) text_printf(&t, rank == 1 ? "%lld," : i ? ", %lld" : "%lld", (long long)dim[i]);
  text_put(&t, "), }");
  while ((t.n + 1) % 64) text_put(&t, " ");
  text_put(&t, "\n");
  head[8] = (char)((t.n - 10) & 255), head[9] = (char)((t.n - 10) >> 8);
  return t.n;
}

bool npy_write(const char *path, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data, char *why) {
  char head[NPY_HEAD];
  size_t n = npy_head(head, dtype, rank, dim), bytes = sinter_dtype_size(dtype);
  if (!n)
    return text_into(why, SINTER_WHY, "cannot write %s: .npy has no element type %s", path, sinter_dtype_text(dtype)),
           false;
  for (uint32_t i = 0; i < rank; i++) bytes *= (size_t)dim[i];
  SysPart parts[] = {{head, n}, {data, bytes}};
  int e = sys_write_file(path, parts, 2);
  if (e) text_into(why, SINTER_WHY, "cannot write %s: %s", path, rt_error(e));
  return e == 0;
}
