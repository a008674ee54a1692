/* Parameters and states: one block with the object, all cells and the derived buffers of the level in use. */
#include "rt.h"

__attribute__((weak)) const RtGpu rt_gpu = {0}; /* that of runtime/cuda is stronger */

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

int rt_weights_start(SinterWeights *w) {
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

static int load(SinterWeights *w, RtMatch *l, bool strict, bool take_seed) {
  const SinterCell *c = cells();
  int status = rt_match(l, strict);
  if (!status && l->init) status = rt_weights_start(w);
  if (status) return status;
  for (uint32_t i = 0; i < RT_MODEL->cells.n; i++) {
    const Tensor *t = c[i].kind == 2 ? NULL : rt_match_find(l, &c[i]);
    int e = t ? sys_read_file(l->file.file, w->cells + c[i].at, c[i].bytes, t->begin) : 0;
    if (e) return rt_fail(w->message, SINTER_ERROR_WEIGHTS, "cannot read %s: %s", l->path, rt_error(e));
  }
  rt_match_numbers(l, take_seed ? &w->seed : NULL, w->first_call);
  for (uint32_t i = 0; i < RT_MODEL->entries.n; i++) w->last_call[i] = w->first_call[i];
  rt_match_notes(l);
  return SINTER_OK;
}

static int fill(SinterWeights *w, const char *path, bool strict, bool take_seed) {
  const SinterModel *model = RT_MODEL;
  if (path) {
    RtMatch l = {.model = model, .path = path, .message = w->message, .strip = ""};
    int status = rt_tensors_open(&l.file, path, w->message);
    if (status) return status;
    status = load(w, &l, strict, take_seed);
    rt_tensors_close(&l.file);
    return status;
  }
  const SinterCell *c = cells();
  for (uint32_t i = 0; i < model->cells.n; i++)
    if (c[i].kind == 0 && !c[i].has_init)
      return rt_fail(w->message, SINTER_ERROR_WEIGHTS,
                     "parameter \"%s\" has no start value: open %s with a weight file", RT_TEXT(c[i].name),
                     RT_TEXT(model->name));
  return rt_weights_start(w);
}

int rt_weights_make(SinterWeights **out, uint64_t seed, SinterEmbedded *stored) {
  if (!out) return SINTER_ERROR_ARGUMENT;
  *out = (SinterWeights *)(uintptr_t)&NO_MEMORY; /* never written: all look at its status first */
  const SinterModel *m = RT_MODEL;
  char message[RT_MESSAGE] = "";
  int level = rt_level(message);
  bool prepared = stored && level >= 0 && stored->derived[level];
  uint64_t at = rt_up(sizeof(SinterWeights)), lists = at + rt_up(16ull * m->entries.n + m->derived.n);
  uint64_t derived = level < 0 || prepared ? 0 : rt_up(m->derived_bytes[level]),
           cells_bytes = level < 0 || stored ? 0 : rt_up(m->cells_bytes);
  SinterWeights *w = sys_alloc(lists + cells_bytes + derived);
  if (!w) return SINTER_ERROR_MEMORY;
  *out = w;
  w->bytes = lists + cells_bytes + derived;
  w->level = level;
  w->seed = seed;
  w->first_call = (uint64_t *)(void *)((char *)w + at);
  w->last_call = w->first_call + m->entries.n;
  w->stale = (uint8_t *)(w->last_call + m->entries.n);
  w->cells = stored ? (char *)stored + stored->cells : (char *)w + lists;
  w->derived = prepared ? (char *)stored + stored->derived[level] : (char *)w + lists + cells_bytes;
  if (!prepared) memset(w->stale, 1, m->derived.n);
  if (level >= 0) return SINTER_OK;
  memcpy(w->message, message, sizeof message);
  return w->status = SINTER_ERROR_CPU;
}

/* ---- where they are ---- */

/* By whoever has them alone; after a failure they are where they were. */
static __attribute__((noinline)) int move(SinterWeights *w, const char *device, char *message) {
  if (rt_gpu.move) return rt_gpu.move(w, device, message);
  if (rt_equal(device, "cpu")) return SINTER_OK;
  return rt_fail(
      message, SINTER_ERROR_GPU,
      "%s runs on \"cpu\" alone, not on \"%s\": code for GPUs is in a .so, .o or .a that is compiled with --gpu",
      RT_TEXT(RT_MODEL->name), device);
}

int sinter_rt_to(SinterWeights *w, const char *device) {
  if (!w) return SINTER_ERROR_ARGUMENT;
  if (w->status) return w->status;
  if (!device) return rt_weights_fail(w, SINTER_ERROR_ARGUMENT, "to: the device is NULL%s", "");
  if (!rt_take(w, true)) return rt_weights_fail(w, SINTER_ERROR_BUSY, "to: a call is using these weights%s", "");
  char message[RT_MESSAGE];
  int status = move(w, device, message);
  rt_release(w, true);
  return status ? rt_weights_fail(w, status, "%s", message) : SINTER_OK;
}

int rt_weights_opened(SinterWeights *w, int status) {
  const char *device = sys_env("SINTER_DEVICE");
  char message[RT_MESSAGE];
  if (!status && device) {
    status = move(w, device, message);
    if (status) rt_fail(w->message, 0, "SINTER_DEVICE is %s: %s", device, message);
  }
  w->status = status;
  if (status == SINTER_OK) w->counted = 1, rt_pool_open();
  return status;
}

static int open_weights(SinterWeights **out, const char *path, uint64_t seed, bool strict) {
  int status = rt_weights_make(out, seed, NULL);
  return status ? status : rt_weights_opened(*out, fill(*out, path, strict, path && seed == 0));
}

int sinter_rt_open(SinterWeights **out, const char *path, uint64_t seed) {
  return open_weights(out, path, seed, false);
}
int sinter_rt_open_strict(SinterWeights **out, const char *path, uint64_t seed) {
  return open_weights(out, path, seed, true);
}

void sinter_rt_close(SinterWeights *w) {
  if (!w || w == &NO_MEMORY) return;
  if (w->gpu) rt_gpu.close(w->gpu);
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
  char message[RT_MESSAGE];
  int status = w->gpu ? rt_gpu.fetch(w->gpu, w->cells, message) : SINTER_OK, e = 0;
  char *block = status ? NULL : sys_alloc(bytes);
  uint32_t parts = 0;
  if (status) {
    rt_weights_fail(w, status, "%s", message);
  } else if (!block) {
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
    rt_append_shape(w->message, rt_dtype(c->dtype), c->rank, c->dim);
    rt_unlock(&w->message_lock);
    return status;
  }
  if (!rt_take(w, set != NULL))
    return rt_weights_fail(w, SINTER_ERROR_BUSY, "a call is using these weights: \"%s\" cannot be taken now", name);
  char message[RT_MESSAGE];
  if (w->gpu)
    status = get ? rt_gpu.get(w->gpu, get, c->at, bytes, message) : rt_gpu.set(w->gpu, c->at, set, bytes, message);
  if (status) {
    rt_weights_fail(w, status, "%s", message);
  } else if (get) {
    if (!w->gpu) memcpy(get, w->cells + c->at, bytes);
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
