/* A strict reader of safetensors: the header is checked whole before a tensor is believed. The grammar is fixed, so
 * nothing here recurses. Two passes: the first counts and checks, the second fills the table. */
#include "rt.h"

enum { HEADER_MAX = 100000000 };

typedef struct Type {
  char name[12];
  uint8_t bits, dtype;
} Type;
static const Type TYPES[] = {{"F32", 32, SINTER_F32},  {"F64", 64, SINTER_F64},
                             {"F16", 16, SINTER_F16},  {"BF16", 16, SINTER_BF16},
                             {"I8", 8, SINTER_I8},     {"I16", 16, SINTER_I16},
                             {"I32", 32, SINTER_I32},  {"I64", 64, SINTER_I64},
                             {"U8", 8, SINTER_U8},     {"U16", 16, SINTER_U16},
                             {"U32", 32, SINTER_U32},  {"U64", 64, SINTER_U64},
                             {"BOOL", 8, SINTER_BOOL}, {"F4", 4, 0},
                             {"F6_E2M3", 6, 0},        {"F6_E3M2", 6, 0},
                             {"F8_E5M2", 8, 0},        {"F8_E4M3", 8, 0},
                             {"F8_E8M0", 8, 0},        {"F8_E4M3FNUZ", 8, 0},
                             {"F8_E5M2FNUZ", 8, 0},    {"C64", 64, 0}};
enum { N_TYPES = sizeof TYPES / sizeof TYPES[0] };

const char *rt_tensor_type(uint32_t dtype) {
  for (int i = 0; i < N_TYPES; i++)
    if (TYPES[i].dtype == dtype) return TYPES[i].name;
  return "?";
}

typedef struct Json {
  const unsigned char *p, *start, *end;
  char *pool;  /* decoded names; NULL in the first pass */
  Tensor *out; /* NULL in the first pass */
  uint32_t n;
  const char *path;
  char *message;
} Json;

static bool wrong(Json *j, const char *what) {
  rt_fail(j->message, 0, "%s: the header is damaged at byte %d: %s", j->path, (int64_t)(j->p - j->start) + 8, what);
  return false;
}

static void blanks(Json *j) {
  while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r')) j->p++;
}

static bool next(Json *j, char c) { /* takes c if it is next */
  blanks(j);
  if (j->p == j->end || *j->p != (unsigned char)c) return false;
  j->p++;
  return true;
}

static bool expect(Json *j, char c, const char *what) { return next(j, c) || wrong(j, what); }

static void emit(Json *j, uint32_t c) { /* UTF-8; never longer than what it was read from */
  char b[4];
  int n = 0;
  if (c < 0x80)
    b[n++] = (char)c;
  else if (c < 0x800)
    b[n++] = (char)(0xc0 | c >> 6), b[n++] = (char)(0x80 | (c & 63));
  else if (c < 0x10000)
    b[n++] = (char)(0xe0 | c >> 12), b[n++] = (char)(0x80 | (c >> 6 & 63)), b[n++] = (char)(0x80 | (c & 63));
  else
    b[n++] = (char)(0xf0 | c >> 18), b[n++] = (char)(0x80 | (c >> 12 & 63)), b[n++] = (char)(0x80 | (c >> 6 & 63)),
    b[n++] = (char)(0x80 | (c & 63));
  for (int i = 0; j->pool && i < n; i++) *j->pool++ = b[i];
}

static bool hex(Json *j, uint32_t *v) {
  *v = 0;
  for (int i = 0; i < 4; i++, j->p++) {
    unsigned c = j->p < j->end ? *j->p : 0, d;
    if (c >= '0' && c <= '9')
      d = c - '0';
    else if ((c | 32) >= 'a' && (c | 32) <= 'f')
      d = (c | 32) - 'a' + 10;
    else
      return wrong(j, "four hexadecimal digits were expected");
    *v = *v << 4 | d;
  }
  return true;
}

static bool escape(Json *j) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  unsigned c = j->p < j->end ? *j->p++ : 0;
  for (int i = 0; from[i]; i++)
    if (c == (unsigned char)from[i]) return emit(j, (unsigned char)to[i]), true;
  if (c != 'u') return wrong(j, "an unknown escape");
  uint32_t v, low;
  if (!hex(j, &v)) return false;
  if (v >= 0xd800 && v < 0xe000) {
    if (v >= 0xdc00 || j->end - j->p < 6 || j->p[0] != '\\' || j->p[1] != 'u') return wrong(j, "half a surrogate pair");
    j->p += 2;
    if (!hex(j, &low)) return false;
    if (low < 0xdc00 || low >= 0xe000) return wrong(j, "half a surrogate pair");
    v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
  }
  if (v == 0) return wrong(j, "a zero byte in a text");
  emit(j, v);
  return true;
}

static bool string(Json *j, const char **out) {
  if (!expect(j, '"', "a text in double quotes was expected")) return false;
  *out = j->pool ? j->pool : "";
  for (;;) {
    if (j->p == j->end) return wrong(j, "the text does not end");
    unsigned c = *j->p++;
    if (c == '"') break;
    if (c < 0x20) return wrong(j, "a control character in a text");
    if (c == '\\') {
      if (!escape(j)) return false;
      continue;
    }
    uint32_t v = c, more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (c >= 0x80) {
      if (c < 0xc2 || c > 0xf4) return wrong(j, "it is not UTF-8");
      v = c & (0x3f >> more);
      for (uint32_t i = 0; i < more; i++) {
        if (j->p == j->end || (*j->p & 0xc0) != 0x80) return wrong(j, "it is not UTF-8");
        v = v << 6 | (*j->p++ & 63);
      }
      if (v < least[more] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return wrong(j, "it is not UTF-8");
    }
    emit(j, v);
  }
  if (j->pool) *j->pool++ = 0;
  return true;
}

static bool number(Json *j, int64_t *v) {
  blanks(j);
  const unsigned char *start = j->p;
  *v = 0;
  for (; j->p < j->end && *j->p >= '0' && *j->p <= '9'; j->p++)
    if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, *j->p - '0', v))
      return wrong(j, "the number is too large");
  if (j->p == start || (*start == '0' && j->p > start + 1)) return wrong(j, "a whole number was expected");
  return true;
}

static bool is(const unsigned char *text, size_t n, const char *word) { /* text with its quotes */
  size_t k = 0;
  while (word[k] && k + 2 < n && text[1 + k] == (unsigned char)word[k]) k++;
  return !word[k] && k + 2 == n;
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} in any order */
static bool tensor(Json *j, Tensor *t) {
  const Type *type = NULL;
  bool shape = false, offsets = false;
  int64_t count = 1;
  if (!expect(j, '{', "an object was expected")) return false;
  do {
    const char *unused;
    char *pool = j->pool;
    blanks(j);
    const unsigned char *key = j->p;
    if (!string(j, &unused)) return false;
    j->pool = pool; /* not kept */
    size_t n = (size_t)(j->p - key);
    if (!expect(j, ':', "':' was expected")) return false;
    if (!type && is(key, n, "dtype")) {
      blanks(j);
      key = j->p;
      if (!string(j, &unused)) return false;
      j->pool = pool;
      for (int i = 0; i < N_TYPES && !type; i++)
        if (is(key, (size_t)(j->p - key), TYPES[i].name)) type = &TYPES[i];
      if (!type) return wrong(j, "an unknown dtype");
    } else if (!shape && is(key, n, "shape")) {
      shape = true;
      if (!expect(j, '[', "'[' was expected")) return false;
      if (next(j, ']')) continue;
      do {
        int64_t d;
        if (!number(j, &d)) return false;
        if (t->rank < SINTER_MAX_RANK) t->dim[t->rank] = d;
        t->rank++;
        if (__builtin_mul_overflow(count, d, &count)) return wrong(j, "the shape is too large");
      } while (next(j, ','));
      if (!expect(j, ']', "']' was expected")) return false;
    } else if (!offsets && is(key, n, "data_offsets")) {
      offsets = true;
      int64_t begin, end;
      if (!expect(j, '[', "'[' was expected") || !number(j, &begin) || !expect(j, ',', "two numbers were expected") ||
          !number(j, &end) || !expect(j, ']', "']' was expected"))
        return false;
      t->begin = (uint64_t)begin, t->end = (uint64_t)end;
    } else {
      return wrong(j, "dtype, shape and data_offsets were expected, each once");
    }
  } while (next(j, ','));
  if (!expect(j, '}', "'}' was expected")) return false;
  if (!type || !shape || !offsets) return wrong(j, "dtype, shape or data_offsets is missing");
  t->type = type->name;
  t->bits = type->bits;
  int64_t bits;
  if (__builtin_mul_overflow(count, (int64_t)type->bits, &bits)) return wrong(j, "the shape is too large");
  if (bits % 8 || t->end < t->begin || (uint64_t)(bits / 8) != t->end - t->begin)
    return wrong(j, "shape and data_offsets do not agree");
  return true;
}

static bool metadata(Json *j) {
  if (!expect(j, '{', "an object was expected")) return false;
  if (next(j, '}')) return true;
  do {
    Tensor t = {0};
    if (!string(j, &t.name) || !expect(j, ':', "':' was expected") || !string(j, &t.value)) return false;
    if (j->out) j->out[j->n] = t;
    j->n++;
  } while (next(j, ','));
  return expect(j, '}', "'}' was expected");
}

static bool header(Json *j) {
  if (j->p == j->end || *j->p != '{') return wrong(j, "'{' was expected");
  j->p++;
  bool meta = false;
  if (!next(j, '}')) {
    do {
      Tensor t = {0};
      blanks(j);
      const unsigned char *key = j->p;
      if (!string(j, &t.name)) return false;
      const unsigned char *after = j->p;
      if (!expect(j, ':', "':' was expected")) return false;
      if (is(key, (size_t)(after - key), "__metadata__")) {
        if (meta) return wrong(j, "__metadata__ stands there twice");
        meta = true;
        if (!metadata(j)) return false;
        continue;
      }
      if (!tensor(j, &t)) return false;
      if (j->out) j->out[j->n] = t;
      j->n++;
    } while (next(j, ','));
    if (!expect(j, '}', "'}' was expected")) return false;
  }
  blanks(j);
  return j->p == j->end || wrong(j, "nothing was expected after the last '}'");
}

static int compare(const Tensor *a, const Tensor *b, bool by_name) {
  if (!a->value != !b->value) return a->value ? 1 : -1; /* metadata last */
  if (!by_name) {
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
  }
  const unsigned char *s = (const unsigned char *)a->name, *t = (const unsigned char *)b->name;
  while (*s && *s == *t) s++, t++;
  return (int)*s - (int)*t;
}

static void sort(uint32_t *index, uint32_t n, const Tensor *t, bool by_name) { /* a heap: no recursion, no bad case */
  for (uint32_t end = n, start = n / 2; end > 1;) {
    if (start > 0)
      start--;
    else {
      end--;
      uint32_t x = index[0];
      index[0] = index[end], index[end] = x;
    }
    for (uint32_t at = start, child; (child = 2 * at + 1) < end; at = child) {
      if (child + 1 < end && compare(&t[index[child]], &t[index[child + 1]], by_name) < 0) child++;
      if (compare(&t[index[at]], &t[index[child]], by_name) >= 0) break;
      uint32_t x = index[at];
      index[at] = index[child], index[child] = x;
    }
  }
}

static int check_table(Tensors *s, uint64_t data, uint64_t bytes, const char *path, char *message) {
  for (uint32_t i = 0; i < s->n; i++) s->by_name[i] = i, s->tensors += !s->at[i].value;
  sort(s->by_name, s->n, s->at, false);
  uint64_t at = 0;
  for (uint32_t i = 0; i < s->tensors; i++) {
    Tensor *t = &s->at[s->by_name[i]];
    if (t->begin != at)
      return rt_fail(message, SINTER_ERROR_WEIGHTS,
                     "%s: the data of \"%s\" begin at %u, where %u was expected: there is %s", path, t->name, t->begin,
                     at, t->begin < at ? "an overlap" : "a hole");
    at = t->end;
    t->begin += data, t->end += data;
  }
  if (at != bytes)
    return rt_fail(message, SINTER_ERROR_WEIGHTS,
                   "%s: its tensors take %u bytes, but %u follow the header: the file is damaged or cut short", path,
                   at, bytes);
  sort(s->by_name, s->n, s->at, true);
  for (uint32_t i = 1; i < s->n; i++)
    if (!compare(&s->at[s->by_name[i - 1]], &s->at[s->by_name[i]], true))
      return rt_fail(message, SINTER_ERROR_WEIGHTS, "%s: the name \"%s\" stands there twice", path,
                     s->at[s->by_name[i]].name);
  return SINTER_OK;
}

static int read_header(Tensors *s, const char *path, uint64_t bytes, char *message) {
  unsigned char length[8] = {0};
  if (bytes < 8 || sys_read_file(s->file, length, 8, 0))
    return rt_fail(message, SINTER_ERROR_WEIGHTS, "%s is not a safetensors file: it has less than 8 bytes", path);
  uint64_t n = 0;
  for (int i = 7; i >= 0; i--) n = n << 8 | length[i];
  if (n > HEADER_MAX || n > bytes - 8 || n < 2)
    return rt_fail(
        message, SINTER_ERROR_WEIGHTS,
        "%s is not a safetensors file, or cut short: the header's length is given as %u, the file has %u bytes", path,
        n, bytes);
  unsigned char *text = sys_alloc(n);
  if (!text) return rt_fail(message, SINTER_ERROR_MEMORY, "no memory for the header of %s (%u bytes)", path, n);
  int status = SINTER_ERROR_WEIGHTS, e = sys_read_file(s->file, text, n, 8);
  Json first = {.p = text, .start = text, .end = text + n, .path = path, .message = message};
  if (e) {
    rt_fail(message, status, "cannot read %s: %s", path, rt_error(e));
  } else if (header(&first)) {
    s->n = first.n;
    s->bytes =
        s->n * (sizeof(Tensor) + sizeof(uint32_t)) + n + 1; /* names take less room than they took in the header */
    s->block = sys_alloc(s->bytes);
    if (!s->block) {
      status = rt_fail(message, SINTER_ERROR_MEMORY, "no memory for the header of %s (%u bytes)", path, s->bytes);
    } else {
      s->at = s->block;
      s->by_name = (uint32_t *)(void *)(s->at + s->n);
      Json second = {.p = text, .start = text, .end = text + n, .path = path, .message = message, .out = s->at};
      second.pool = (char *)(s->by_name + s->n);
      header(&second);
      status = check_table(s, 8 + n, bytes - 8 - n, path, message);
    }
  }
  sys_free(text, n);
  return status;
}

int rt_tensors_open(Tensors *s, const char *path, char *message) {
  *s = (Tensors){.file = -1};
  uint64_t bytes = 0;
  int e = sys_open_file(path, &s->file, &bytes);
  if (e) return rt_fail(message, SINTER_ERROR_WEIGHTS, "cannot open %s: %s", path, rt_error(e));
  int status = read_header(s, path, bytes, message);
  if (status) rt_tensors_close(s), *s = (Tensors){.file = -1};
  return status;
}

void rt_tensors_close(Tensors *s) {
  if (s->file >= 0) sys_close_file(s->file);
  if (s->block) sys_free(s->block, s->bytes);
}

const Tensor *rt_tensors_find(const Tensors *s, const char *prefix, const char *name) {
  for (uint32_t lo = 0, hi = s->tensors; lo < hi;) {
    uint32_t mid = lo + (hi - lo) / 2;
    const unsigned char *t = (const unsigned char *)s->at[s->by_name[mid]].name;
    const unsigned char *p = (const unsigned char *)prefix;
    if (!*p) p = (const unsigned char *)name, prefix = "";
    bool in_prefix = *prefix != 0;
    while (*p && *p == *t) {
      p++, t++;
      if (!*p && in_prefix) p = (const unsigned char *)name, in_prefix = false;
    }
    int c = (int)*t - (int)*p;
    if (c == 0) return &s->at[s->by_name[mid]];
    if (c < 0)
      lo = mid + 1;
    else
      hi = mid;
  }
  return NULL;
}
