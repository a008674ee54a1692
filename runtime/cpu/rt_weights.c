/* Parameters and states: one block with the object, all cells and the derived buffers of the level in use. */
#include "rt.h"

static const SinterWeights NO_MEMORY = {.status = SINTER_ERROR_MEMORY, .message = "no memory to open the weights"};

bool rt_take(SinterWeights *w, bool alone) {
  uint32_t was = __atomic_load_n(&w->users, __ATOMIC_ACQUIRE), now;
  do {
    if (was == RT_ALONE || (alone && was)) return false;
    now = alone ? RT_ALONE : was + 1;
  } while (!__atomic_compare_exchange_n(&w->users, &was, now, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  return true;
}

void rt_release(SinterWeights *w, bool alone) {
  if (alone)
    __atomic_store_n(&w->users, 0, __ATOMIC_RELEASE);
  else
    __atomic_sub_fetch(&w->users, 1, __ATOMIC_RELEASE);
}

int rt_weights_fail(SinterWeights *w, int status, const char *fmt, const char *text) {
  rt_lock(&w->message_lock);
  rt_fail(w->message, status, fmt, text);
  rt_unlock(&w->message_lock);
  return status;
}

static const SinterCell *cells(void) { return RT_RECORDS(SinterCell, RT_MODEL->cells); }

static void append_shape(char *m, const char *type, uint32_t rank, const int64_t *dim) {
  rt_append(m, "%s[", type);
  for (uint32_t i = 0; i < rank && i < SINTER_MAX_RANK; i++) rt_append(m, i ? ", %d" : "%d", dim[i]);
  rt_append(m, rank > SINTER_MAX_RANK ? ", ...]" : "]");
}

/* Length of the first part of a path: "net" of "net.fc.weight"; 0 if it has one part only. */
static size_t root(const char *name) {
  for (size_t i = 0; name[i]; i++)
    if (name[i] == '.') return i;
  return 0;
}

static bool same_root(const char *a, const char *b) {
  size_t n = root(a), i = 0;
  if (n != root(b)) return false;
  while (i < n && a[i] == b[i]) i++;
  return i == n;
}

/* A counter, or a state of a module without parameters beside it (an optimizer) may be missing in a file. */
static bool optional(const SinterCell *c) {
  if (c->kind != 1) return false;
  if (c->rank == 0 && c->dtype >= SINTER_I8 && c->dtype <= SINTER_U64) return true;
  const SinterCell *all = cells();
  for (uint32_t i = 0; i < RT_MODEL->cells.n; i++)
    if (all[i].kind == 0 && same_root(RT_TEXT(all[i].name), RT_TEXT(c->name))) return false;
  return true;
}

typedef struct Loading {
  SinterWeights *w;
  const char *path;
  Tensors file;
  const char *strip;     /* a name whose root is left out when cells are looked up, or "" */
  char prefix[RT_NAMES]; /* put before names: "" or ending in a point */
} Loading;

static const Tensor *find(const Loading *l, const SinterCell *c) {
  const char *name = RT_TEXT(c->name);
  if (*l->strip && same_root(name, l->strip)) name += root(name) + 1;
  return rt_tensors_find(&l->file, l->prefix, name);
}

static bool complete(const Loading *l, uint32_t *found, uint32_t *required, const SinterCell **missing) {
  const SinterCell *c = cells();
  *found = *required = 0;
  *missing = NULL;
  for (uint32_t i = 0; i < RT_MODEL->cells.n; i++) {
    if (c[i].kind == 2 || optional(&c[i])) continue;
    ++*required;
    if (find(l, &c[i]))
      ++*found;
    else if (!*missing)
      *missing = &c[i];
  }
  return !*missing;
}

/* Settles how names of cells become names of the file. If they are not all there as they are, one root may be left out
 * or stand before all of them: `net.fc.weight` of the model is `fc.weight` of a PyTorch module's state dict. */
static int choose_names(Loading *l) {
  uint32_t found, required, unused;
  const SinterCell *missing, *none, *c = cells();
  const char *path = l->path;
  if (complete(l, &found, &required, &missing)) return SINTER_OK;
  Loading fits = *l;
  int n = 0;
  for (uint32_t i = 0; i < RT_MODEL->cells.n; i++) { /* roots to leave out */
    const char *name = RT_TEXT(c[i].name);
    bool seen = c[i].kind != 0 || !root(name);
    for (uint32_t k = 0; k < i && !seen; k++) seen = c[k].kind == 0 && same_root(name, RT_TEXT(c[k].name));
    if (seen) continue;
    Loading attempt = *l;
    attempt.strip = name;
    if (complete(&attempt, &unused, &unused, &none)) fits = attempt, n++;
  }
  const char *tail = RT_TEXT(missing->name);
  size_t tail_n = 0;
  while (tail[tail_n]) tail_n++;
  for (uint32_t i = 0; i < l->file.tensors; i++) { /* prefixes to put before */
    const char *name = l->file.at[l->file.by_name[i]].name;
    size_t len = 0;
    while (name[len]) len++;
    if (len < tail_n + 2 || len - tail_n >= RT_NAMES || name[len - tail_n - 1] != '.' ||
        !rt_equal(name + len - tail_n, tail))
      continue;
    Loading attempt = *l;
    memcpy(attempt.prefix, name, len - tail_n);
    attempt.prefix[len - tail_n] = 0;
    if (complete(&attempt, &unused, &unused, &none)) fits = attempt, n++;
  }
  if (n == 1) return *l = fits, SINTER_OK;
  char *m = l->w->message;
  if (n > 1)
    return rt_fail(m, SINTER_ERROR_WEIGHTS, "%s holds the tensors of this model under more than one name", path);
  rt_fail(m, 0, "%s: tensor \"%s\" is missing (", path, RT_TEXT(missing->name));
  append_shape(m, rt_dtype(missing->dtype), missing->rank, missing->dim);
  rt_append(m, "); %d of the %d that %s needs are there", (int64_t)found, (int64_t)required, RT_TEXT(RT_MODEL->name));
  return SINTER_ERROR_WEIGHTS;
}

static int check_cell(const Loading *l, const SinterCell *c, const Tensor *t) {
  bool same = rt_equal(t->type, rt_tensor_type(c->dtype)) && t->rank == c->rank;
  for (uint32_t i = 0; same && i < c->rank; i++) same = t->dim[i] == c->dim[i];
  if (same && t->end - t->begin == c->bytes) return SINTER_OK;
  char *m = l->w->message;
  rt_fail(m, 0, "%s: tensor \"%s\" is ", l->path, t->name);
  append_shape(m, t->type, t->rank, t->dim);
  rt_append(m, ", but %s has ", RT_TEXT(RT_MODEL->name));
  append_shape(m, rt_tensor_type(c->dtype), c->rank, c->dim);
  return SINTER_ERROR_WEIGHTS;
}

static bool decimal(const char *s, uint64_t *v) {
  *v = 0;
  for (; *s >= '0' && *s <= '9'; s++)
    if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, (uint64_t)(*s - '0'), v)) return false;
  return !*s;
}

static void read_metadata(const Loading *l, bool take_seed) {
  const SinterEntry *entry = RT_RECORDS(SinterEntry, RT_MODEL->entries);
  for (uint32_t i = 0; i < l->file.n; i++) {
    const Tensor *t = &l->file.at[i];
    uint64_t v;
    if (!t->value || !rt_starts(t->name, "sinter.") || !decimal(t->value, &v)) continue;
    if (take_seed && rt_equal(t->name, "sinter.seed")) l->w->seed = v;
    for (uint32_t k = 0; k < RT_MODEL->entries.n; k++)
      if (rt_starts(t->name, "sinter.calls.") && rt_equal(t->name + 13, RT_TEXT(entry[k].name)))
        l->w->first_call[k] = l->w->last_call[k] = v;
  }
}

/* Runs the hidden entry that sets all cells to their start values. */
static int run_init(SinterWeights *w) {
  const SinterModel *m = RT_MODEL;
  if (m->init == UINT32_MAX) return SINTER_OK;
  const SinterEntry *entry = RT_RECORDS(SinterEntry, m->entries) + m->init;
  const SinterVariant *v = RT_RECORDS(SinterVariant, entry->variants);
  const SinterPlan *plan = NULL;
  for (uint32_t i = 0; i < entry->variants.n && !plan; i++)
    if (v[i].level == (uint32_t)w->level) plan = RT_RECORDS(SinterPlan, m->plans) + v[i].plan;
  if (!plan)
    return rt_fail(w->message, SINTER_ERROR_ARTEFACT, "%s has no start values for this level", RT_TEXT(m->name));
  uint64_t records = rt_up(rt_plan_bytes(plan)), dims = rt_up(8 * (uint64_t)m->dims.n);
  int64_t arena = 0;
  char *block = NULL;
  int status = SINTER_ERROR_ARTEFACT;
  rt_fail(w->message, 0, "the start values of %s do not fit their plan: a fault of the compiler", RT_TEXT(m->name));
  static const int64_t none[1] = {0};
  uint64_t bytes = 0;
  if (rt_sym(m, plan->arena, none, &arena) && arena >= 0) {
    bytes = records + dims + sizeof(SinterFail) + (uint64_t)arena + 64;
    block = sys_alloc(bytes);
    if (!block)
      return rt_fail(w->message, SINTER_ERROR_MEMORY, "no memory for the start values of %s (%u bytes)",
                     RT_TEXT(m->name), bytes);
    uint32_t random[4] = {(uint32_t)w->seed, (uint32_t)(w->seed >> 32), 0, 0};
    Binding at = {.weights = w, .random = random, .threads = 1};
    at.fail = (SinterFail *)(void *)(block + records);
    at.dims = (int64_t *)(void *)(block + records + sizeof(SinterFail));
    at.arena = block + records + sizeof(SinterFail) + dims;
    at.arena_bytes = rt_up((uint64_t)arena);
    Run run;
    if (rt_plan_bind(&run, block, plan, &at)) {
      uint64_t mode = rt_float_mode();
      const SinterFail *f = rt_plan_run(&run);
      rt_float_mode_back(mode);
      status =
          f ? rt_fail(w->message, SINTER_ERROR_INDEX, "the start values of %s cannot be computed", RT_TEXT(m->name))
            : SINTER_OK;
    }
    sys_free(block, bytes);
  }
  if (status == SINTER_OK) w->message[0] = 0;
  return status;
}

static int load(Loading *l, bool strict, bool take_seed) {
  SinterWeights *w = l->w;
  char *m = w->message;
  const SinterCell *c = cells();
  int status = choose_names(l);
  if (status) return status;
  uint32_t used = 0, left_out = 0;
  const char *first_out = "";
  bool init = false;
  for (uint32_t i = 0; i < RT_MODEL->cells.n; i++) {
    const Tensor *t = c[i].kind == 2 ? NULL : find(l, &c[i]);
    if (t && (status = check_cell(l, &c[i], t))) return status;
    used += t != NULL;
    init |= !t && c[i].has_init;
    if (t || c[i].kind == 2) continue;
    if (!left_out++) first_out = RT_TEXT(c[i].name);
  }
  uint32_t extra = l->file.tensors - used; /* names of cells differ, so each found another tensor */
  const char *first_extra = "";
  for (uint32_t i = 0; i < l->file.n && extra && !*first_extra; i++) {
    const Tensor *t = &l->file.at[i];
    bool known = t->value != NULL;
    for (uint32_t k = 0; k < RT_MODEL->cells.n && !known; k++) known = c[k].kind != 2 && find(l, &c[k]) == t;
    if (!known) first_extra = t->name;
  }
  if (strict && left_out) return rt_fail(m, SINTER_ERROR_WEIGHTS, "%s: state \"%s\" is missing", l->path, first_out);
  if (strict && extra)
    return rt_fail(m, SINTER_ERROR_WEIGHTS, "%s: %s has no tensor \"%s\"", l->path, RT_TEXT(RT_MODEL->name),
                   first_extra);
  if (init && (status = run_init(w))) return status;
  for (uint32_t i = 0; i < RT_MODEL->cells.n; i++) {
    const Tensor *t = c[i].kind == 2 ? NULL : find(l, &c[i]);
    int e = t ? sys_read_file(l->file.file, w->cells + c[i].at, c[i].bytes, t->begin) : 0;
    if (e) return rt_fail(m, SINTER_ERROR_WEIGHTS, "cannot read %s: %s", l->path, rt_error(e));
  }
  read_metadata(l, take_seed);
  m[0] = 0;
  if (left_out == 1)
    rt_append(m, "note: state \"%s\" is not in %s and begins with its start value", first_out, l->path);
  if (left_out > 1)
    rt_append(m, "note: %d states (\"%s\", ...) are not in %s and begin with their start values", (int64_t)left_out,
              first_out, l->path);
  if (left_out && extra)
    rt_append(m, "; ");
  else if (extra)
    rt_append(m, "note: ");
  if (extra == 1) rt_append(m, "tensor \"%s\" of %s is not of this model and is ignored", first_extra, l->path);
  if (extra > 1)
    rt_append(m, "%d tensors of %s (\"%s\", ...) are not of this model and are ignored", (int64_t)extra, l->path,
              first_extra);
  return SINTER_OK;
}

static int fill(SinterWeights *w, const char *path, bool strict, bool take_seed) {
  const SinterModel *model = RT_MODEL;
  memset(w->stale, 1, model->derived.n);
  if (path) {
    Loading l = {.w = w, .path = path, .strip = ""};
    int status = rt_tensors_open(&l.file, path, w->message);
    if (status) return status;
    status = load(&l, strict, take_seed);
    rt_tensors_close(&l.file);
    return status;
  }
  const SinterCell *c = cells();
  for (uint32_t i = 0; i < model->cells.n; i++)
    if (c[i].kind == 0 && !c[i].has_init)
      return rt_fail(w->message, SINTER_ERROR_WEIGHTS,
                     "parameter \"%s\" has no start value: open %s with a weight file", RT_TEXT(c[i].name),
                     RT_TEXT(model->name));
  return run_init(w);
}

static int open_weights(SinterWeights **out, const char *path, uint64_t seed, bool strict) {
  if (!out) return SINTER_ERROR_ARGUMENT;
  *out = (SinterWeights *)(uintptr_t)&NO_MEMORY; /* never written: all look at its status first */
  const SinterModel *m = RT_MODEL;
  char message[RT_MESSAGE] = "";
  int level = rt_level(message);
  uint64_t at = rt_up(sizeof(SinterWeights)), lists = at + rt_up(16ull * m->entries.n + m->derived.n);
  uint64_t derived = level < 0 ? 0 : rt_up(m->derived_bytes[level]),
           cells_bytes = level < 0 ? 0 : rt_up(m->cells_bytes);
  SinterWeights *w = sys_alloc(lists + cells_bytes + derived);
  if (!w) return SINTER_ERROR_MEMORY;
  *out = w;
  w->bytes = lists + cells_bytes + derived;
  w->level = level;
  w->seed = seed;
  w->first_call = (uint64_t *)(void *)((char *)w + at);
  w->last_call = w->first_call + m->entries.n;
  w->stale = (uint8_t *)(w->last_call + m->entries.n);
  w->cells = (char *)w + lists;
  w->derived = w->cells + cells_bytes;
  if (level < 0) {
    memcpy(w->message, message, sizeof message);
    return w->status = SINTER_ERROR_CPU;
  }
  w->status = fill(w, path, strict, path && seed == 0);
  if (w->status == SINTER_OK) w->counted = 1, rt_pool_open();
  return w->status;
}

int sinter_rt_open(SinterWeights **out, const char *path, uint64_t seed) {
  return open_weights(out, path, seed, false);
}
int sinter_rt_open_strict(SinterWeights **out, const char *path, uint64_t seed) {
  return open_weights(out, path, seed, true);
}

void sinter_rt_close(SinterWeights *w) {
  if (!w || w == &NO_MEMORY) return;
  if (w->counted) rt_pool_close();
  sys_free(w, w->bytes);
}

const char *sinter_rt_open_message(const SinterWeights *w) { return w ? w->message : ""; }

static void put_text(char **p, const char *s) {
  while (*s) *(*p)++ = *s++;
}

static void put_number(char **p, uint64_t v) {
  char digits[24], *d = digits + sizeof digits - 1;
  *d = 0;
  do *--d = (char)('0' + v % 10);
  while (v /= 10);
  put_text(p, d);
}

static void put_quoted(char **p, const char *s) {
  *(*p)++ = '"';
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') *(*p)++ = '\\';
    if (c >= 0x20)
      *(*p)++ = *s;
    else
      put_text(p, "\\u00"), *(*p)++ = (char)('0' + c / 16), *(*p)++ = "0123456789abcdef"[c % 16];
  }
  *(*p)++ = '"';
}

static uint64_t name_room(SinterText t) {
  uint64_t n = 0;
  for (const char *s = RT_TEXT(t); *s; s++) n++;
  return 6 * n + 64;
}

/* The header names the tensors in the order of declaration. The data lie by element size, largest first, so that each
 * is aligned to its element, which readers that map the file want; holes are not allowed. */
static uint64_t write_header(const SinterWeights *w, char *text, SysPart *part, uint32_t *parts) {
  const SinterModel *m = RT_MODEL;
  const SinterCell *c = cells();
  const SinterEntry *entry = RT_RECORDS(SinterEntry, m->entries);
  char *p = text + 8;
  put_text(&p, "{\"__metadata__\":{\"format\":\"pt\",\"sinter.seed\":\"");
  put_number(&p, w->seed);
  for (uint32_t i = 0; i < m->entries.n; i++) {
    if (!(entry[i].flags & SINTER_ENTRY_RANDOM) || entry[i].flags & SINTER_ENTRY_HIDDEN) continue;
    put_text(&p, "\",\"sinter.calls.");
    put_text(&p, RT_TEXT(entry[i].name));
    put_text(&p, "\":\"");
    put_number(&p, __atomic_load_n(&w->last_call[i], __ATOMIC_RELAXED));
  }
  put_text(&p, "\"}");
  for (uint32_t i = 0; i < m->cells.n; i++) {
    if (c[i].kind == 2) continue;
    uint64_t at = 0;
    uint32_t size = rt_dtype_size(c[i].dtype);
    for (uint32_t k = 0; k < m->cells.n; k++) {
      uint32_t other = rt_dtype_size(c[k].dtype);
      if (c[k].kind != 2 && (other > size || (other == size && k < i))) at += c[k].bytes;
    }
    put_text(&p, ",");
    put_quoted(&p, RT_TEXT(c[i].name));
    put_text(&p, ":{\"dtype\":\"");
    put_text(&p, rt_tensor_type(c[i].dtype));
    put_text(&p, "\",\"shape\":[");
    for (uint32_t k = 0; k < c[i].rank; k++) {
      if (k) put_text(&p, ",");
      put_number(&p, (uint64_t)c[i].dim[k]);
    }
    put_text(&p, "],\"data_offsets\":[");
    put_number(&p, at);
    put_text(&p, ",");
    put_number(&p, at + c[i].bytes);
    put_text(&p, "]}");
  }
  put_text(&p, "}");
  while ((p - text) % 8) *p++ = ' ';
  uint64_t n = (uint64_t)(p - text);
  for (int i = 0; i < 8; i++) text[i] = (char)((n - 8) >> (8 * i));
  part[0] = (SysPart){text, n};
  *parts = 1;
  for (uint32_t size = 8; size; size /= 2)
    for (uint32_t i = 0; i < m->cells.n; i++)
      if (c[i].kind != 2 && rt_dtype_size(c[i].dtype) == size)
        part[(*parts)++] = (SysPart){w->cells + c[i].at, c[i].bytes};
  return n;
}

int sinter_rt_save(SinterWeights *w, const char *path) {
  if (!w) return SINTER_ERROR_ARGUMENT;
  if (w->status) return w->status;
  if (!path) return rt_weights_fail(w, SINTER_ERROR_ARGUMENT, "save: the path is NULL%s", "");
  if (!rt_take(w, false)) return rt_weights_fail(w, SINTER_ERROR_BUSY, "save: a call is updating these weights%s", "");
  const SinterModel *m = RT_MODEL;
  const SinterCell *c = cells();
  const SinterEntry *entry = RT_RECORDS(SinterEntry, m->entries);
  uint64_t parts_bytes = sizeof(SysPart) * ((uint64_t)m->cells.n + 1), bytes = parts_bytes + 256;
  for (uint32_t i = 0; i < m->cells.n; i++) bytes += name_room(c[i].name) + 128 + 24u * c[i].rank;
  for (uint32_t i = 0; i < m->entries.n; i++) bytes += name_room(entry[i].name);
  char *block = sys_alloc(bytes);
  int status = SINTER_OK, e = 0;
  uint32_t parts = 0;
  if (!block) {
    status = rt_weights_fail(w, SINTER_ERROR_MEMORY, "no memory to save %s", path);
  } else {
    SysPart *part = (SysPart *)(void *)block;
    write_header(w, block + parts_bytes, part, &parts);
    e = sys_write_file(path, part, parts);
    sys_free(block, bytes);
  }
  rt_release(w, false);
  if (status) return status;
  rt_lock(&w->message_lock);
  w->message[0] = 0;
  if (e) status = rt_fail(w->message, SINTER_ERROR_IO, "cannot write %s: %s", path, rt_error(e));
  rt_unlock(&w->message_lock);
  return status;
}

static int transfer(SinterWeights *w, const char *name, void *get, const void *set, size_t bytes) {
  if (!w) return SINTER_ERROR_ARGUMENT;
  if (w->status) return w->status;
  if (!name || (!get && !set))
    return rt_weights_fail(w, SINTER_ERROR_ARGUMENT, "get and set want a name and data%s", "");
  const SinterCell *all = cells(), *c = NULL;
  for (uint32_t i = 0; i < RT_MODEL->cells.n && !c; i++)
    if (rt_equal(RT_TEXT(all[i].name), name)) c = &all[i];
  if (!c) return rt_weights_fail(w, SINTER_ERROR_ARGUMENT, "there is no parameter or state \"%s\"", name);
  int status = SINTER_OK;
  if (bytes != c->bytes) {
    rt_lock(&w->message_lock);
    status = rt_fail(w->message, SINTER_ERROR_SHAPE, "\"%s\" has %u bytes, not %u: ", name, c->bytes, (uint64_t)bytes);
    append_shape(w->message, rt_dtype(c->dtype), c->rank, c->dim);
    rt_unlock(&w->message_lock);
    return status;
  }
  if (!rt_take(w, set != NULL))
    return rt_weights_fail(w, SINTER_ERROR_BUSY, "a call is using these weights: \"%s\" cannot be taken now", name);
  if (get) {
    memcpy(get, w->cells + c->at, bytes);
  } else {
    memcpy(w->cells + c->at, set, bytes);
    const SinterDerived *d = RT_RECORDS(SinterDerived, RT_MODEL->derived);
    for (uint32_t i = 0; i < RT_MODEL->derived.n; i++)
      if (&all[d[i].cell] == c) w->stale[i] = 1;
  }
  rt_release(w, set != NULL);
  return status;
}

int sinter_rt_get(SinterWeights *w, const char *name, void *data, size_t bytes) {
  return transfer(w, name, data, NULL, bytes);
}
int sinter_rt_set(SinterWeights *w, const char *name, const void *data, size_t bytes) {
  return transfer(w, name, NULL, data, bytes);
}
