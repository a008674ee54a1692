#include "cli.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int artefact_open(Artefact *s, const char *path) {
  char why[SINTER_WHY];
  *s = (Artefact){.path = path};
  if (!sinter_artefact_open(&s->art, path, why)) {
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".sir") && access(path, R_OK) == 0)
      return cli_fail("%s is a model: `sinter compile %s -o FILE.so` makes an artefact of it", path, path);
    return cli_fail("%s", why);
  }
  s->m = s->art.model;
  s->api = s->art.api;
  return CLI_DONE;
}

int artefact_look(Artefact *s, const char *path) {
  char why[SINTER_WHY];
  uint32_t machine;
  *s = (Artefact){.path = path};
  if (!sinter_artefact_verify(path, NULL, &machine, why)) return cli_fail("%s", why);
  if (machine == sinter_machine()) return artefact_open(s, path);
  if (!sinter_artefact_read(&s->art, path, why)) return cli_fail("%s", why);
  s->m = s->art.model;
  return CLI_DONE;
}

int artefact_weights(Artefact *s, const char *file, uint64_t seed) {
  int status = s->api->open(&s->w, file, seed);
  const char *message = s->api->open_message(s->w);
  if (status) return cli_fail("%s", message);
  if (*message) cli_note("%s", strncmp(message, "note: ", 6) == 0 ? message + 6 : message);
  return CLI_DONE;
}

int artefact_context(Artefact *s, const int64_t *max_dims, const char *threads) {
  int64_t n = 0;
  if (threads && !cli_int(threads, 1, 256, &n))
    return cli_fail("--threads is \"%s\": a number from 1 to 256 is expected", threads);
  if (s->api->create(&s->c, s->w, max_dims, NULL, 0)) return cli_fail("%s", s->api->open_message(s->w));
  if (threads && s->api->threads(s->c, (int)n)) return cli_fail("%s", s->api->message(s->c));
  return CLI_DONE;
}

void artefact_close(Artefact *s) {
  if (s->api) {
    s->api->free(s->c);
    s->api->close(s->w);
  }
  sinter_artefact_close(&s->art);
}

bool model_has_params(const SinterModel *m) {
  const SinterCell *c = SINTER_LIST(SinterCell, m, m->cells);
  for (uint32_t i = 0; i < m->cells.n; i++)
    if (c[i].kind == 0) return true;
  return false;
}

const SinterEntry *model_entries(const SinterModel *m) { return SINTER_LIST(SinterEntry, m, m->entries); }

int model_entry(const Artefact *s, const char *name) {
  const SinterEntry *e = model_entries(s->m);
  const char **names = mem_alloc(sizeof *names * (s->m->entries.n + 1));
  size_t n = 0;
  int found = -1;
  for (uint32_t i = 0; i < s->m->entries.n; i++) {
    if (e[i].flags & SINTER_ENTRY_HIDDEN) continue;
    names[n++] = sinter_text(s->m, e[i].name);
    if (strcmp(names[n - 1], name) == 0) found = (int)i;
  }
  const char *near = found < 0 ? str_nearest(name, names, n) : NULL;
  free(names);
  if (found < 0 && near)
    cli_fail("%s has no entry \"%s\"; did you mean %s?", s->path, name, near);
  else if (found < 0)
    cli_fail("%s has no entry \"%s\"; `sinter info %s` lists them", s->path, name, s->path);
  return found;
}

const char *port_name(const SinterModel *m, const SinterPort *p, int index) {
  static const char *const numbers[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
  return p->name ? sinter_text(m, p->name) : numbers[index & 7];
}

void port_type(Buf *b, const SinterModel *m, const SinterPort *p) {
  char text[256];
  buf_printf(b, "%s[", sinter_dtype_text(p->dtype));
  for (uint32_t i = 0; i < p->rank; i++)
    buf_printf(b, i ? ", %s" : "%s", sinter_sym_text(m, p->dim[i], text, sizeof text));
  buf_put(b, "]");
}

void array_type(Buf *b, const NpyArray *a, const int64_t *dim) {
  buf_printf(b, "%s[", sinter_dtype_text(a->dtype));
  for (uint32_t i = 0; i < a->rank; i++) buf_printf(b, i ? ", %" PRId64 : "%" PRId64, dim[i]);
  buf_put(b, "]");
}

/* Whether a check only says what the range of a dimension says: "B <= 256". */
static bool is_bound(const SinterModel *m, const SinterEntry *e, const char *text) {
  const SinterDim *dim = SINTER_LIST(SinterDim, m, e->dims);
  for (uint32_t i = 0; i < e->dims.n; i++) {
    const char *name = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[dim[i].index]);
    size_t n = strlen(name);
    char rest[32];
    if (strncmp(text, name, n) != 0) continue;
    snprintf(rest, sizeof rest, " <= %" PRId64, dim[i].hi);
    if (strcmp(text + n, rest) == 0) return true;
    snprintf(rest, sizeof rest, " >= %" PRId64, dim[i].lo);
    if (strcmp(text + n, rest) == 0) return true;
  }
  return false;
}

void entry_signature(Buf *b, const SinterModel *m, const SinterEntry *e) {
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs), *out = SINTER_LIST(SinterPort, m, e->outputs);
  const SinterDim *dim = SINTER_LIST(SinterDim, m, e->dims);
  buf_printf(b, "%s(", sinter_text(m, e->name));
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    buf_printf(b, "%s%s%s: ", i ? ", " : "", in[i].inout ? "inout " : "", port_name(m, &in[i], (int)i));
    port_type(b, m, &in[i]);
  }
  buf_put(b, ")");
  bool record = e->outputs.n > 1 || (e->outputs.n == 1 && out[0].name);
  if (e->outputs.n) buf_put(b, record ? " -> {" : " -> ");
  for (uint32_t i = 0; i < e->outputs.n; i++) {
    if (record) buf_printf(b, "%s%s: ", i ? ", " : "", port_name(m, &out[i], (int)i));
    port_type(b, m, &out[i]);
  }
  if (record) buf_put(b, "}");
  for (uint32_t i = 0; i < e->dims.n; i++)
    buf_printf(b, "%s%s %" PRId64 " to %" PRId64, i ? ", " : "  # ",
               sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[dim[i].index]), dim[i].lo, dim[i].hi);
  const SinterCheck *check = SINTER_LIST(SinterCheck, m, e->checks);
  for (uint32_t i = 0, n = e->dims.n; i < e->checks.n; i++)
    if (!is_bound(m, e, sinter_text(m, check[i].text)))
      buf_printf(b, "%s%s", n++ ? ", " : "  # ", sinter_text(m, check[i].text));
}

int port_find(const SinterModel *m, const SinterEntry *e, const char *name) {
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs);
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (in[i].name && strcmp(sinter_text(m, in[i].name), name) == 0) return (int)i;
  int64_t number;
  return cli_int(name, 0, (int64_t)e->inputs.n - 1, &number) ? (int)number : -1;
}

/* The dimension if the formula is one bare name, else -1. */
static int bare(const SinterModel *m, SinterSym s) {
  const SinterCode *c = sinter_at(m, s.at);
  return s.n == 1 && c->op == SINTER_SYM_VAR ? (int)c->operand : -1;
}

static int misfit(const Artefact *s, const SinterEntry *e, int port, const NpyArray *a, const int64_t *dim,
                  const int64_t *dims) {
  const SinterPort *p = SINTER_LIST(SinterPort, s->m, e->inputs) + port;
  Buf text = {0};
  buf_printf(&text, "%s is ", port_name(s->m, p, port));
  array_type(&text, a, dim);
  buf_printf(&text, ", but %s takes ", sinter_text(s->m, e->name));
  port_type(&text, s->m, p);
  const char *before = " with ";
  for (uint32_t i = 0; i < p->rank; i++) {
    int k = bare(s->m, p->dim[i]);
    if (k < 0 || dims[k] == DIM_UNKNOWN) continue;
    buf_printf(&text, "%s%s = %" PRId64, before, sinter_text(s->m, SINTER_LIST(SinterText, s->m, s->m->dims)[k]),
               dims[k]);
    before = ", ";
  }
  cli_fail("%s", text.at);
  buf_free(&text);
  return CLI_FAILED;
}

int shapes_fit(const Artefact *s, const SinterEntry *e, const NpyArray *const *arrays, int64_t rows, int64_t *dims) {
  const SinterPort *p = SINTER_LIST(SinterPort, s->m, e->inputs);
  for (int round = 0; round < 2; round++) /* bare names first, then what is computed from them */
    for (uint32_t i = 0; i < e->inputs.n; i++) {
      const NpyArray *a = arrays[i];
      int64_t dim[SINTER_MAX_RANK] = {0};
      if (!a) continue;
      memcpy(dim, a->dim, sizeof dim);
      if (rows >= 0 && a->rank) dim[0] = rows;
      if (a->rank != p[i].rank) return misfit(s, e, (int)i, a, dim, dims);
      for (uint32_t k = 0; k < a->rank; k++) {
        int name = bare(s->m, p[i].dim[k]);
        int64_t want;
        if (name >= 0 && dims[name] == DIM_UNKNOWN) dims[name] = dim[k];
        if (round == 0 && name < 0) continue;
        if (!sinter_sym(s->m, p[i].dim[k], dims, &want) || want != dim[k]) return misfit(s, e, (int)i, a, dim, dims);
      }
    }
  return CLI_DONE;
}

int port_bytes(const Artefact *s, const SinterEntry *e, const SinterPort *p, const int64_t *dims,
               int64_t dim[SINTER_MAX_RANK], int64_t *bytes) {
  *bytes = sinter_dtype_size(p->dtype);
  for (uint32_t i = 0; i < p->rank; i++)
    if (!sinter_sym(s->m, p->dim[i], dims, &dim[i]) || dim[i] < 0 || __builtin_mul_overflow(*bytes, dim[i], bytes))
      return cli_fail("%s: the size of %s cannot be computed for these dimensions", sinter_text(s->m, e->name),
                      port_name(s->m, p, 0));
  return CLI_DONE;
}

int array_for_port(const Artefact *s, const SinterPort *p, const char *name, const char *text, NpyArray *out) {
  char why[SINTER_WHY];
  NpyArray a = {0};
  double number;
  int64_t whole;
  *out = (NpyArray){0};
  if (p->rank == 0 && cli_float(text, &number)) {
    a.count = 1;
    a.data = aligned_alloc(64, 64);
    if (!a.data) return cli_fail("no memory");
    if (cli_int(text, INT64_MIN, INT64_MAX, &whole))
      a.dtype = SINTER_I64, memcpy(a.data, &whole, 8);
    else
      a.dtype = SINTER_F64, memcpy(a.data, &number, 8);
    bool narrow = p->dtype == SINTER_F32 || p->dtype == SINTER_F64;
    if (narrow) a.dtype = SINTER_F64, memcpy(a.data, &number, 8);
  } else if (!npy_read(&a, text, why)) {
    return cli_fail("%s: %s", name, why);
  }
  if (a.dtype == p->dtype) return *out = a, CLI_DONE;
  *out = a;
  out->dtype = p->dtype;
  size_t bytes = (size_t)a.count * sinter_dtype_size(p->dtype);
  out->data = aligned_alloc(64, (bytes + 127) & ~(size_t)63);
  bool good = out->data && sinter_convert(p->dtype, out->data, a.dtype, a.data, a.count, why);
  if (good && a.rank + p->rank)
    cli_note("%s: %s is converted to %s", name, sinter_dtype_text(a.dtype), sinter_dtype_text(p->dtype));
  else if (!out->data)
    cli_fail("%s: no memory for %zu bytes", name, bytes);
  else if (!good)
    cli_fail("%s: %s", name, why);
  npy_free(&a);
  if (!good) npy_free(out);
  (void)s;
  return good ? CLI_DONE : CLI_FAILED;
}

static void print_element(Buf *b, uint32_t dtype, const void *data, int64_t i) {
  char text[32];
  int64_t v;
  switch (dtype) {
  case SINTER_F32: buf_put(b, format_float(text, (double)((const float *)data)[i], 9)); return;
  case SINTER_F64: buf_put(b, format_float(text, ((const double *)data)[i], 17)); return;
  case SINTER_BOOL: buf_put(b, ((const uint8_t *)data)[i] ? "true" : "false"); return;
  case SINTER_I8: v = ((const int8_t *)data)[i]; break;
  case SINTER_I16: v = ((const int16_t *)data)[i]; break;
  case SINTER_I32: v = ((const int32_t *)data)[i]; break;
  case SINTER_I64: v = ((const int64_t *)data)[i]; break;
  case SINTER_U8: v = ((const uint8_t *)data)[i]; break;
  case SINTER_U16: v = ((const uint16_t *)data)[i]; break;
  case SINTER_U32: v = ((const uint32_t *)data)[i]; break;
  case SINTER_U64: buf_printf(b, "%" PRIu64, ((const uint64_t *)data)[i]); return;
  default: buf_put(b, "?"); return;
  }
  buf_printf(b, "%" PRId64, v);
}

enum { PRINT_ALL = 1000, EDGE = 3 };

static void print_axis(Buf *b, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data, uint32_t axis,
                       int64_t at, bool all) {
  if (axis == rank) return print_element(b, dtype, data, at);
  int64_t inner = 1;
  for (uint32_t i = axis + 1; i < rank; i++) inner *= dim[i];
  buf_put(b, "[");
  for (int64_t i = 0; i < dim[axis]; i++) {
    if (i && axis + 1 < rank) {
      buf_put(b, ",\n");
      for (uint32_t k = 0; k <= axis; k++) buf_put(b, " ");
    } else if (i) {
      buf_put(b, ", ");
    }
    if (!all && dim[axis] > 2 * EDGE && i == EDGE) {
      buf_put(b, "...");
      i = dim[axis] - EDGE - 1;
      continue;
    }
    print_axis(b, dtype, rank, dim, data, axis + 1, at + i * inner, all);
  }
  buf_put(b, "]");
}

void array_print(Buf *b, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data) {
  int64_t count = 1;
  for (uint32_t i = 0; i < rank; i++) count *= dim[i];
  print_axis(b, dtype, rank, dim, data, 0, 0, count <= PRINT_ALL);
  buf_put(b, "\n");
}
