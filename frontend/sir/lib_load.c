#include "library.h"
#include "scalar.h"
#include <stdlib.h>
#include <string.h>

/* The header of a .npy file: little-endian data in C order of a dtype that the graph has. */
typedef struct Npy {
  DType dtype;
  int rank;
  Sym shape[MAX_RANK];
  int64_t count;
  size_t offset; /* of the data */
} Npy;

/* What follows 'key': in the header's dictionary; NULL if it is not there. */
static const char *after(const char *head, const char *key) {
  const char *p = strstr(head, key);
  if (!p) return NULL;
  p += strlen(key);
  return p + strspn(p, " :");
}

static bool read_header(Tracer *t, const char *text, size_t n, Npy *out) {
  static const struct {
    const char *descr;
    DType dtype;
  } kinds[] = {{"'<f4'", DT_F32}, {"'<f8'", DT_F64}, {"'<f2'", DT_F16}, {"'<V2'", DT_BF16},
               {"'<i4'", DT_I32}, {"'<i8'", DT_I64}, {"'|b1'", DT_BOOL}};
  const unsigned char *u = (const unsigned char *)text;
  if (n < 12 || memcmp(text, "\x93NUMPY", 6) || u[6] < 1 || u[6] > 3) return false;
  size_t at = u[6] == 1 ? 10 : 12, size = u[8] | (size_t)u[9] << 8;
  if (u[6] > 1) size |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
  if (size > n - at) return false;
  char *head = arena_strndup(t->arena, text + at, size); /* ends at the first 0 byte, if there is one */
  const char *descr = after(head, "'descr'"), *order = after(head, "'fortran_order'"), *shape = after(head, "'shape'");
  *out = (Npy){.offset = at + size, .count = 1};
  for (size_t i = 0; descr && i < sizeof kinds / sizeof *kinds; i++)
    if (!strncmp(descr, kinds[i].descr, strlen(kinds[i].descr))) out->dtype = kinds[i].dtype;
  if (!out->dtype || !order || strncmp(order, "False", 5) || !shape || *shape++ != '(') return false;
  int64_t most = (int64_t)((n - out->offset) / dtype_size(out->dtype)); /* no size is larger, unless another is 0 */
  for (shape += strspn(shape, " "); *shape != ')'; shape += strspn(shape, ", ")) {
    char *end;
    long long k = strtoll(shape, &end, 10);
    if (end == shape || k < 0 || (k && out->count > most / k) || out->rank == MAX_RANK) return false;
    out->count *= k;
    out->shape[out->rank++] = sym_int(t->syms, k);
    shape = end;
  }
  return out->count <= most;
}

/* A table of numbers beside the program. Few are written into the graph, many stay in their file. */
bool lib_load(Tracer *t, const BuiltinArgs *a, Value *out) {
  enum { INLINE = 1024 };
  const char *name = a->at[0].u.s, *why = NULL;
  const char *path = name[0] == '/' ? name : trace_printf(t, "%s/%s", trace_dir(t), name);
  Npy npy;
  size_t n;
  char *text = file_read(t->arena, path, &n, &why);
  if (!text) return trace_fault(t, "sir-load", "load(\"%s\"): %s", name, why);
  if (!read_header(t, text, n, &npy))
    return trace_fault(t, "sir-load-format",
                       "\"%s\" is no .npy file of f32, f64, f16, bf16, i32, i64 or bool in C order (numpy.save(path, "
                       "numpy.ascontiguousarray(x)))",
                       name);
  Attrs attrs = {0};
  const char *data = text + npy.offset;
  if (npy.count > INLINE) {
    attr_str(t->ctx, &attrs, path);
    attr_int(&attrs, (int64_t)npy.offset);
  } else {
    int64_t *words = ARENA_ARRAY(t->arena, int64_t, npy.count + 1);
    size_t size = dtype_size(npy.dtype);
    for (int64_t i = 0; i < npy.count; i++) {
      Scalar x = scalar_load(npy.dtype, data + (size_t)i * size);
      memcpy(&words[i], &x, sizeof x);
    }
    attrs.big = words;
    attrs.nbig = (int)npy.count;
  }
  attr_int(&attrs, npy.dtype);
  attr_syms(&attrs, npy.shape, npy.rank);
  return trace_node(t, graph_node(t->g, npy.count > INLINE ? OP_DATA : OP_CONSTANT, NULL, 0, &attrs), out);
}
