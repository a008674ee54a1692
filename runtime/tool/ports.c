#include "call.h"
#include "os.h"
#include "rt.h"

int artefact_weights(Artefact *s, const char *file, uint64_t seed, bool own) {
  int status = own && s->open_embedded ? s->open_embedded(&s->w) : s->api->open(&s->w, file, seed);
  const char *message = s->api->open_message(s->w);
  if (status) return cli_fail("%s", message);
  if (*message) cli_note("%s", rt_starts(message, "note: ") ? message + 6 : message);
  return CLI_DONE;
}

void device_chosen(const char *device) {
  if (device) os_unset("SINTER_DEVICE");
}

int artefact_device(Artefact *s, const char *device) {
  return device && s->api->to(s->w, device) ? cli_fail("%s", s->api->open_message(s->w)) : CLI_DONE;
}

int artefact_context(Artefact *s, const int64_t *max_dims, const char *threads) {
  int64_t n = 0;
  if (threads && !number_read_int(threads, 1, 256, &n))
    return cli_fail("--threads is \"%s\": a number from 1 to 256 is expected", threads);
  if (s->api->create(&s->c, s->w, max_dims, NULL, 0)) return cli_fail("%s", s->api->open_message(s->w));
  if (threads && s->api->threads(s->c, (int)n)) return cli_fail("%s", s->api->message(s->c));
  return CLI_DONE;
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
  const char **names = cli_alloc(sizeof *names * (s->m->entries.n + 1));
  size_t n = 0;
  int found = -1;
  for (uint32_t i = 0; i < s->m->entries.n; i++) {
    if (e[i].flags & SINTER_ENTRY_HIDDEN) continue;
    names[n++] = sinter_text(s->m, e[i].name);
    if (rt_equal(names[n - 1], name)) found = (int)i;
  }
  const char *near = found < 0 ? text_nearest(name, names, n) : NULL;
  os_free(names);
  if (found < 0 && near)
    cli_fail("%s has no entry \"%s\"; did you mean %s?", s->path, name, near);
  else if (found < 0)
    cli_fail("%s has no entry \"%s\"; `%s%s%s` lists them", s->path, name, s->lister ? s->lister : s->path,
             s->lister ? " " : " --", s->lister ? s->path : "help");
  return found;
}

const char *port_name(const SinterModel *m, const SinterPort *p, int index) {
  static const char *const numbers[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
  return p->name ? sinter_text(m, p->name) : numbers[index & 7];
}

static const char *dim_text(const SinterModel *m, int dim) {
  return sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[dim]);
}

void port_type(Text *b, const SinterModel *m, const SinterPort *p) {
  char text[256];
  text_printf(b, "%s[", sinter_dtype_text(p->dtype));
  for (uint32_t i = 0; i < p->rank; i++)
    text_printf(b, i ? ", %s" : "%s", sinter_sym_text(m, p->dim[i], text, sizeof text));
  text_put(b, "]");
}

void array_type(Text *b, const NpyArray *a, const int64_t *dim) {
  text_printf(b, "%s[", sinter_dtype_text(a->dtype));
  for (uint32_t i = 0; i < a->rank; i++) text_printf(b, i ? ", %lld" : "%lld", (long long)dim[i]);
  text_put(b, "]");
}

/* Whether a check only says what the range of a dimension says: "B <= 256". */
static bool is_bound(const SinterModel *m, const SinterEntry *e, const char *text) {
  const SinterDim *dim = SINTER_LIST(SinterDim, m, e->dims);
  for (uint32_t i = 0; i < e->dims.n; i++) {
    const char *name = dim_text(m, (int)dim[i].index);
    char rest[32];
    if (!rt_starts(text, name)) continue;
    text_into(rest, sizeof rest, " <= %lld", (long long)dim[i].hi);
    if (rt_equal(text + text_length(name), rest)) return true;
    text_into(rest, sizeof rest, " >= %lld", (long long)dim[i].lo);
    if (rt_equal(text + text_length(name), rest)) return true;
  }
  return false;
}

void entry_signature(Text *b, const SinterModel *m, const SinterEntry *e) {
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs), *out = SINTER_LIST(SinterPort, m, e->outputs);
  const SinterDim *dim = SINTER_LIST(SinterDim, m, e->dims);
  text_printf(b, "%s(", sinter_text(m, e->name));
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    text_printf(b, "%s%s%s: ", i ? ", " : "", in[i].inout ? "inout " : "", port_name(m, &in[i], (int)i));
    port_type(b, m, &in[i]);
  }
  text_put(b, ")");
  bool record = e->outputs.n > 1 || (e->outputs.n == 1 && out[0].name);
  if (e->outputs.n) text_put(b, record ? " -> {" : " -> ");
  for (uint32_t i = 0; i < e->outputs.n; i++) {
    if (record) text_printf(b, "%s%s: ", i ? ", " : "", port_name(m, &out[i], (int)i));
    port_type(b, m, &out[i]);
  }
  if (record) text_put(b, "}");
  for (uint32_t i = 0; i < e->dims.n; i++)
    text_printf(b, "%s%s %lld to %lld", i ? ", " : "  # ", dim_text(m, (int)dim[i].index), (long long)dim[i].lo,
                (long long)dim[i].hi);
  const SinterCheck *check = SINTER_LIST(SinterCheck, m, e->checks);
  for (uint32_t i = 0, n = e->dims.n; i < e->checks.n; i++)
    if (!is_bound(m, e, sinter_text(m, check[i].text)))
      text_printf(b, "%s%s", n++ ? ", " : "  # ", sinter_text(m, check[i].text));
}

void model_signatures(Text *t, const SinterModel *m) {
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterEntry *e = &model_entries(m)[i];
    if (e->flags & SINTER_ENTRY_HIDDEN) continue;
    text_put(t, "  ");
    entry_signature(t, m, e);
    text_printf(t, "%s%s\n",
                e->flags & SINTER_ENTRY_TRAIN     ? "  [train]"
                : e->flags & SINTER_ENTRY_UPDATES ? "  [updates]"
                                                  : "",
                e->flags & SINTER_ENTRY_RANDOM ? " [random]" : "");
    if (e->doc) text_printf(t, "      %s\n", sinter_text(m, e->doc));
  }
}

int port_find(const SinterModel *m, const SinterEntry *e, const char *name) {
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs);
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (in[i].name && rt_equal(sinter_text(m, in[i].name), name)) return (int)i;
  int64_t number;
  return number_read_int(name, 0, (int64_t)e->inputs.n - 1, &number) ? (int)number : -1;
}

/* The dimension if the formula is one bare name, else -1. */
static int bare(const SinterModel *m, SinterSym s) {
  const SinterCode *c = sinter_at(m, s.at);
  return s.n == 1 && c->op == SINTER_SYM_VAR ? (int)c->operand : -1;
}

static int misfit(const Artefact *s, const SinterEntry *e, int port, const NpyArray *a, const int64_t *dim,
                  const int64_t *dims) {
  const SinterPort *p = SINTER_LIST(SinterPort, s->m, e->inputs) + port;
  Text text = {0};
  text_printf(&text, "%s is ", port_name(s->m, p, port));
  array_type(&text, a, dim);
  text_printf(&text, ", but %s takes ", sinter_text(s->m, e->name));
  port_type(&text, s->m, p);
  const char *before = " with ";
  for (uint32_t i = 0; i < p->rank; i++) {
    int k = bare(s->m, p->dim[i]);
    if (k < 0 || dims[k] == DIM_UNKNOWN) continue;
    text_printf(&text, "%s%s = %lld", before, dim_text(s->m, k), (long long)dims[k]);
    before = ", ";
  }
  cli_fail("%s", text.at);
  text_free(&text);
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

static const char INPUT_NAME[] = "the standard input";

static bool read_stream(Text *t, char *why) {
  for (size_t got = 1; got;) {
    char *block = text_room(t, 1 << 16);
    int e = block ? os_read(OS_INPUT, block, 1 << 16, &got) : 12;
    if (e) {
      text_into(why, SINTER_WHY, "cannot read %s: %s", INPUT_NAME, rt_error(e));
      text_free(t);
      return false;
    }
    t->n += got;
  }
  return true;
}

int array_for_port(const Artefact *s, const SinterPort *p, const char *name, const char *text, NpyArray *out) {
  char why[SINTER_WHY];
  NpyArray a = {0};
  double number;
  int64_t whole;
  *out = (NpyArray){0};
  if (p->rank == 0 && number_read(text, &number)) {
    a.count = 1;
    a.data = os_alloc(8);
    if (!a.data) return cli_fail("no memory");
    if (number_read_int(text, INT64_MIN, INT64_MAX, &whole))
      a.dtype = SINTER_I64, memcpy(a.data, &whole, 8);
    else
      a.dtype = SINTER_F64, memcpy(a.data, &number, 8);
    bool narrow = p->dtype >= SINTER_F32 && p->dtype <= SINTER_BF16;
    if (narrow) a.dtype = SINTER_F64, memcpy(a.data, &number, 8);
  } else if (rt_equal(text, "-")) {
    Text file = {0};
    if (!read_stream(&file, why)) return cli_fail("%s: %s", name, why);
    bool read = npy_parse(&a, INPUT_NAME, file.at, file.n, why);
    text_free(&file);
    if (!read) return cli_fail("%s: %s", name, why);
  } else if (!npy_read(&a, text, why)) {
    return cli_fail("%s: %s", name, why);
  }
  if (a.dtype == p->dtype) return *out = a, CLI_DONE;
  *out = a;
  out->dtype = p->dtype;
  size_t bytes = (size_t)a.count * sinter_dtype_size(p->dtype);
  out->data = os_alloc(bytes);
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

/* Whether all dimensions in a formula are known. */
static bool known(const SinterModel *m, SinterSym s, const int64_t *dims) {
  const SinterCode *c = sinter_at(m, s.at);
  for (uint32_t i = 0; i < s.n; i++)
    if (c[i].op == SINTER_SYM_VAR && dims[c[i].operand] == DIM_UNKNOWN) return false;
  return true;
}

/* The shape of `bytes` bytes of bare elements. */
static int raw_shape(const Artefact *s, const SinterPort *p, const char *name, const char *path, uint64_t bytes,
                     int64_t *dims, NpyArray *a) {
  const SinterModel *m = s->m;
  int64_t rest = sinter_dtype_size(p->dtype); /* bytes by all axes but the open one */
  int open = -1;
  for (uint32_t i = 0; i < p->rank; i++) {
    int dim = bare(m, p->dim[i]);
    if (known(m, p->dim[i], dims)) {
      if (!sinter_sym(m, p->dim[i], dims, &a->dim[i]) || a->dim[i] < 0 ||
          __builtin_mul_overflow(rest, a->dim[i], &rest))
        return cli_fail("%s: its size cannot be computed for these dimensions", name);
    } else if (dim >= 0 && open < 0) {
      open = (int)i;
    } else {
      return cli_fail("%s: %s does not tell its shape: add %s=NUMBER", name, path,
                      dim >= 0 ? dim_text(m, dim) : "its dimensions as NAME");
    }
  }
  if (open >= 0 && rest > 0 && bytes % (uint64_t)rest == 0) {
    a->dim[open] = (int64_t)(bytes / (uint64_t)rest);
    dims[bare(m, p->dim[open])] = a->dim[open];
    rest = (int64_t)bytes;
  } else if (open >= 0) {
    Text type = {0};
    port_type(&type, m, p);
    cli_fail("%s: %s has %llu bytes, but %s takes a multiple of %lld", name, path, (unsigned long long)bytes, type.at,
             (long long)rest);
    return text_free(&type), CLI_FAILED;
  }
  if ((uint64_t)rest == bytes) return CLI_DONE;
  Text type = {0};
  array_type(&type, a, a->dim);
  cli_fail("%s: %s has %llu bytes, but %s takes %lld", name, path, (unsigned long long)bytes, type.at, (long long)rest);
  return text_free(&type), CLI_FAILED;
}

int raw_for_port(const Artefact *s, const SinterPort *p, const char *name, const char *path, int64_t *dims,
                 NpyArray *a) {
  char why[SINTER_WHY];
  Text input = {0};
  uint64_t bytes = 0;
  int file = -1, status = CLI_DONE, e = 0;
  bool stream = rt_equal(path, "-");
  *a = (NpyArray){.dtype = p->dtype, .rank = p->rank, .count = 1};
  if (stream && !read_stream(&input, why)) return cli_fail("%s: %s", name, why);
  if (!stream && (e = sys_open_file(path, &file, &bytes)))
    return cli_fail("%s: cannot open %s: %s", name, path, rt_error(e));
  if (stream) bytes = input.n;
  status = raw_shape(s, p, name, stream ? INPUT_NAME : path, bytes, dims, a);
  for (uint32_t i = 0; i < a->rank && !status; i++) a->count *= a->dim[i];
  if (!status && !(a->data = os_alloc(bytes)))
    status = cli_fail("%s: no memory for %llu bytes", name, (unsigned long long)bytes);
  if (!status && stream && bytes) memcpy(a->data, input.at, bytes);
  if (!status && !stream && (e = sys_read_file(file, a->data, bytes, 0)))
    status = cli_fail("%s: cannot read %s: %s", name, path, rt_error(e));
  unsigned char *b = a->data;
  for (int64_t i = 0; !status && a->dtype == SINTER_BOOL && i < a->count; i++) b[i] = b[i] != 0;
  if (file >= 0) sys_close_file(file);
  text_free(&input);
  if (status) npy_free(a);
  return status;
}

static void print_element(Text *b, uint32_t dtype, const void *data, int64_t i) {
  char text[NUMBER_ROOM], why[SINTER_WHY];
  int64_t v;
  float f;
  switch (dtype) {
  case SINTER_F16:
  case SINTER_BF16: /* as many digits as tell all its numbers apart */
    sinter_convert(SINTER_F32, &f, dtype, (const uint16_t *)data + i, 1, why);
    text_put(b, number_text(text, (double)f, dtype == SINTER_F16 ? 5 : 4));
    return;
  case SINTER_F32: text_put(b, number_text(text, (double)((const float *)data)[i], 9)); return;
  case SINTER_F64: text_put(b, number_text(text, ((const double *)data)[i], 17)); return;
  case SINTER_BOOL: text_put(b, ((const uint8_t *)data)[i] ? "true" : "false"); return;
  case SINTER_I8: v = ((const int8_t *)data)[i]; break;
  case SINTER_I16: v = ((const int16_t *)data)[i]; break;
  case SINTER_I32: v = ((const int32_t *)data)[i]; break;
  case SINTER_I64: v = ((const int64_t *)data)[i]; break;
  case SINTER_U8: v = ((const uint8_t *)data)[i]; break;
  case SINTER_U16: v = ((const uint16_t *)data)[i]; break;
  case SINTER_U32: v = ((const uint32_t *)data)[i]; break;
  case SINTER_U64: text_printf(b, "%llu", (unsigned long long)((const uint64_t *)data)[i]); return;
  default: text_put(b, "?"); return;
  }
  text_printf(b, "%lld", (long long)v);
}

enum { PRINT_ALL = 1000, EDGE = 3 };

static void print_axis(Text *b, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data, uint32_t axis,
                       int64_t at, bool all) {
  if (axis == rank) return print_element(b, dtype, data, at);
  int64_t inner = 1;
  for (uint32_t i = axis + 1; i < rank; i++) inner *= dim[i];
  text_put(b, "[");
  for (int64_t i = 0; i < dim[axis]; i++) {
    if (i && axis + 1 < rank) {
      text_put(b, ",\n");
      for (uint32_t k = 0; k <= axis; k++) text_put(b, " ");
    } else if (i) {
      text_put(b, ", ");
    }
    if (!all && dim[axis] > 2 * EDGE && i == EDGE) {
      text_put(b, "...");
      i = dim[axis] - EDGE - 1;
      continue;
    }
    print_axis(b, dtype, rank, dim, data, axis + 1, at + i * inner, all);
  }
  text_put(b, "]");
}

void array_print(Text *b, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data) {
  int64_t count = 1;
  for (uint32_t i = 0; i < rank; i++) count *= dim[i];
  print_axis(b, dtype, rank, dim, data, 0, 0, count <= PRINT_ALL);
  text_put(b, "\n");
}
