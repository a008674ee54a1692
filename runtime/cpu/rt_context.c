/* A context: one block of memory with everything that calls need, so that a call allocates nothing. All refusals come
 * before the first launch. */
#include "rt.h"

struct SinterContext {
  SinterWeights *weights;
  GpuWeights *on;  /* where the weights were when it was made, NULL: here; it lives as long as `gpu` */
  GpuContext *gpu; /* of `on` */
  uint64_t bytes;  /* of the block if it is ours to free, else 0 */
  uint32_t busy;
  int threads, slots, cpus; /* wanted at most; room for; processors */
  int64_t *most, *dims;     /* [model dims] */
  uint64_t *calls;          /* [entry] */
  Span *ports;              /* inputs, then outputs, of the entry that is called */
  char *records, *arena;
  SinterFail *fail; /* [slots] */
  uint64_t arena_bytes;
  uint64_t *ticks; /* of a profile, or NULL */
  uint32_t tick_rows, tick_steps;
  uint32_t random[4];
  char message[RT_MESSAGE];
};

typedef struct Layout {
  uint64_t numbers, ports, records, arena, fail, bytes; /* offsets; bytes without the fail slots */
  uint64_t arena_bytes;
} Layout;

static const SinterEntry *entries(void) { return RT_RECORDS(SinterEntry, RT_MODEL->entries); }
static const char *dim_name(uint32_t i) { return RT_TEXT(RT_RECORDS(SinterText, RT_MODEL->dims)[i]); }

/* Bounds of a dimension over all entries that have it. */
static void bounds(uint32_t dim, int64_t *lo, int64_t *hi) {
  *lo = INT64_MAX, *hi = INT64_MIN;
  for (uint32_t i = 0; i < RT_MODEL->entries.n; i++) {
    const SinterDim *d = RT_RECORDS(SinterDim, entries()[i].dims);
    for (uint32_t k = 0; k < entries()[i].dims.n; k++) {
      if (d[k].index != dim) continue;
      if (d[k].lo < *lo) *lo = d[k].lo;
      if (d[k].hi > *hi) *hi = d[k].hi;
    }
  }
}

/* The largest arena of any plan of the entry for dimensions up to `most`; `dims` is scratch. */
static bool entry_arena(const SinterEntry *e, const int64_t *most, int64_t *dims, uint64_t *arena) {
  const SinterDim *d = RT_RECORDS(SinterDim, e->dims);
  for (uint32_t i = 0; i < RT_MODEL->dims.n; i++) dims[i] = 0;
  for (uint32_t i = 0; i < e->dims.n; i++) {
    if (most[d[i].index] < d[i].lo) return true; /* it cannot be called */
    dims[d[i].index] = most[d[i].index] < d[i].hi ? most[d[i].index] : d[i].hi;
  }
  const SinterVariant *v = RT_RECORDS(SinterVariant, e->variants);
  for (uint32_t i = 0; i < e->variants.n; i++) {
    int64_t n;
    if (v[i].level >= SINTER_LEVELS) continue; /* on a GPU, in its own memory */
    if (!rt_sym(RT_MODEL, RT_RECORDS(SinterPlan, RT_MODEL->plans)[v[i].plan].arena, dims, &n) || n < 0) return false;
    if ((uint64_t)n > *arena) *arena = (uint64_t)n;
  }
  return true;
}

static uint64_t max_ports(void) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < RT_MODEL->entries.n; i++) {
    uint64_t n = (uint64_t)entries()[i].inputs.n + entries()[i].outputs.n;
    if (n > most) most = n;
  }
  return most;
}

/* `scratch`: [model dims] */
static int lay_out(Layout *l, const int64_t *most, int64_t *scratch, char *message) {
  const SinterModel *m = RT_MODEL;
  for (uint32_t i = 0; i < m->dims.n; i++) {
    int64_t lo, hi;
    bounds(i, &lo, &hi);
    if (lo <= hi && (most[i] < lo || most[i] > hi))
      return rt_fail(message, SINTER_ERROR_SHAPE,
                     "dimension %s: a context for up to %d was asked for, but it goes from %d to %d", dim_name(i),
                     most[i], lo, hi);
  }
  uint64_t arena = 0;
  for (uint32_t i = 0; i < m->entries.n; i++)
    if (!entry_arena(&entries()[i], most, scratch, &arena))
      return rt_fail(message, SINTER_ERROR_SHAPE,
                     "entry %s would need more memory for these dimensions than can be addressed",
                     RT_TEXT(entries()[i].name));
  const SinterDerived *d = RT_RECORDS(SinterDerived, m->derived);
  for (uint32_t i = 0; i < m->dims.n; i++) scratch[i] = 0;
  for (uint32_t i = 0; i < m->derived.n; i++) {
    int64_t n = 0;
    if (rt_sym(m, RT_RECORDS(SinterPlan, m->plans)[d[i].plan].arena, scratch, &n) && n > 0 && (uint64_t)n > arena)
      arena = (uint64_t)n;
  }
  l->numbers = rt_up(sizeof(SinterContext));
  l->ports = l->numbers + rt_up(16ull * m->dims.n + 8ull * m->entries.n);
  l->records = l->ports + rt_up(max_ports() * sizeof(Span));
  l->arena = l->records + rt_up(rt_plan_bytes_max());
  l->arena_bytes = rt_up(arena);
  l->fail = l->arena + l->arena_bytes;
  l->bytes = l->fail;
  if (arena > 1ull << 62)
    return rt_fail(message, SINTER_ERROR_SHAPE, "these dimensions need more memory than can be addressed");
  return SINTER_OK;
}

/* 0: SINTER_THREADS is not a number from 1 to 256. */
static int default_threads(int cpus) {
  const char *s = sys_env("SINTER_THREADS");
  if (!s) return cpus < RT_THREADS ? cpus : RT_THREADS;
  int n = 0;
  for (; *s >= '0' && *s <= '9' && n <= RT_THREADS; s++) n = 10 * n + (*s - '0');
  return *s || n > RT_THREADS ? 0 : n;
}

/* Layout needs room for the dimensions, of which there may be many: on the stack for the usual, else allocated. */
static int lay_out_alone(Layout *l, const int64_t *most, char *message) {
  int64_t few[64];
  uint64_t n = RT_MODEL->dims.n;
  int64_t *scratch = n <= 64 ? few : sys_alloc(8 * n);
  if (!scratch) return rt_fail(message, SINTER_ERROR_MEMORY, "no memory");
  int status = lay_out(l, most, scratch, message);
  if (scratch != few) sys_free(scratch, 8 * n);
  return status;
}

size_t sinter_rt_workspace(const int64_t *most, int threads) {
  char message[RT_MESSAGE];
  Layout l;
  if (threads <= 0) threads = default_threads(sys_cpus());
  if (threads <= 0 || threads > RT_THREADS || (!most && RT_MODEL->dims.n) || lay_out_alone(&l, most, message)) return 0;
  return l.bytes + (size_t)threads * sizeof(SinterFail);
}

int sinter_rt_create(SinterContext **out, SinterWeights *w, const int64_t *most, void *memory, size_t bytes) {
  if (!out) return SINTER_ERROR_ARGUMENT;
  *out = NULL;
  if (!w) return SINTER_ERROR_ARGUMENT;
  if (w->status) return w->status;
  if (!most && RT_MODEL->dims.n)
    return rt_weights_fail(w, SINTER_ERROR_ARGUMENT, "the dimensions of a context are NULL%s", "");
  char message[RT_MESSAGE];
  Layout l;
  int status = lay_out_alone(&l, most, message);
  if (status) return rt_weights_fail(w, status, "%s", message);
  int cpus = sys_cpus(), threads = default_threads(cpus);
  if (!threads)
    return rt_weights_fail(w, SINTER_ERROR_ARGUMENT, "SINTER_THREADS is \"%s\": a number from 1 to 256 is expected",
                           sys_env("SINTER_THREADS"));
  if (memory && (uintptr_t)memory % 64)
    return rt_weights_fail(w, SINTER_ERROR_ARGUMENT, "the memory of a context must be aligned to 64 bytes%s", "");
  if (memory && bytes < l.bytes + sizeof(SinterFail)) {
    rt_fail(message, 0, "a context for these dimensions needs %u bytes, %u were given", l.bytes + sizeof(SinterFail),
            (uint64_t)bytes);
    return rt_weights_fail(w, SINTER_ERROR_WORKSPACE, "%s", message);
  }
  uint64_t slots = memory ? (bytes - l.bytes) / sizeof(SinterFail) : threads > 64 ? (uint64_t)threads : 64;
  if (slots > RT_THREADS) slots = RT_THREADS;
  uint64_t own = memory ? 0 : l.bytes + slots * sizeof(SinterFail);
  if (own) memory = sys_alloc(own);
  if (!memory) {
    rt_fail(message, 0, "no memory for a context (%u bytes)", own);
    return rt_weights_fail(w, SINTER_ERROR_MEMORY, "%s", message);
  }
  char *block = memory;
  SinterContext *c = memory;
  memset(c, 0, sizeof *c);
  c->weights = w;
  c->bytes = own;
  c->slots = (int)slots;
  c->cpus = cpus;
  c->threads = threads < c->slots ? threads : c->slots;
  c->most = (int64_t *)(void *)(block + l.numbers);
  c->dims = c->most + RT_MODEL->dims.n;
  c->calls = (uint64_t *)(c->dims + RT_MODEL->dims.n);
  c->ports = (Span *)(void *)(block + l.ports);
  c->records = block + l.records;
  c->arena = block + l.arena;
  c->arena_bytes = l.arena_bytes;
  c->fail = (SinterFail *)(void *)(block + l.fail);
  for (uint32_t i = 0; i < RT_MODEL->dims.n; i++) c->most[i] = most[i];
  for (uint32_t i = 0; i < RT_MODEL->entries.n; i++) c->calls[i] = w->first_call[i];
  if (rt_gpu.create && (status = rt_gpu.create(&c->gpu, &c->on, w, c->most, message))) {
    sinter_rt_free(c);
    return rt_weights_fail(w, status, "%s", message);
  }
  *out = c;
  return SINTER_OK;
}

void sinter_rt_free(SinterContext *c) {
  if (c && c->gpu) rt_gpu.free(c->gpu);
  if (c && c->bytes) sys_free(c, c->bytes);
}

const char *sinter_rt_message(const SinterContext *c) { return c ? c->message : "there is no context"; }

int sinter_rt_threads(SinterContext *c, int n) {
  if (!c) return SINTER_ERROR_ARGUMENT;
  if (n == 0) n = default_threads(c->cpus);
  if (n < 1 || n > RT_THREADS)
    return rt_fail(c->message, SINTER_ERROR_ARGUMENT, "%d threads were asked for: a number from 1 to 256 is expected",
                   (int64_t)n);
  c->threads = n < c->slots ? n : c->slots;
  return SINTER_OK;
}

uint64_t sinter_rt_call_number(const SinterContext *c, uint32_t entry) {
  return c && entry < RT_MODEL->entries.n ? c->calls[entry] : 0;
}

/* The saved number is the highest of any context. */
static void keep_call_number(SinterContext *c, uint32_t entry) {
  uint64_t *last = &c->weights->last_call[entry], was = __atomic_load_n(last, __ATOMIC_RELAXED);
  while (was < c->calls[entry] &&
         !__atomic_compare_exchange_n(last, &was, c->calls[entry], true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

void sinter_rt_set_call_number(SinterContext *c, uint32_t entry, uint64_t n) {
  if (!c || entry >= RT_MODEL->entries.n) return;
  c->calls[entry] = n;
  keep_call_number(c, entry);
}

/* ---- a call --------------------------------------------------------------------------------------------------------
 */

static int read_dims(SinterContext *c, const SinterEntry *e, const void *in) {
  const SinterDim *d = RT_RECORDS(SinterDim, e->dims);
  for (uint32_t i = 0; i < RT_MODEL->dims.n; i++) c->dims[i] = 0;
  for (uint32_t i = 0; i < e->dims.n; i++) {
    int64_t v = *(const int64_t *)(const void *)((const char *)in + d[i].field);
    const char *name = dim_name(d[i].index);
    if (v < d[i].lo || v > d[i].hi)
      return rt_fail(c->message, SINTER_ERROR_SHAPE, "%s: dimension %s is %d, but it goes from %d to %d",
                     RT_TEXT(e->name), name, v, d[i].lo, d[i].hi);
    if (v > c->most[d[i].index])
      return rt_fail(c->message, SINTER_ERROR_WORKSPACE,
                     "%s: dimension %s is %d, above the %d that this context was made for", RT_TEXT(e->name), name, v,
                     c->most[d[i].index]);
    c->dims[d[i].index] = v;
  }
  return SINTER_OK;
}

static void append_dims(SinterContext *c, const SinterEntry *e) {
  const SinterDim *d = RT_RECORDS(SinterDim, e->dims);
  for (uint32_t i = 0; i < e->dims.n; i++)
    rt_append(c->message, i ? ", %s = %d" : " (%s = %d", dim_name(d[i].index), c->dims[d[i].index]);
  if (e->dims.n) rt_append(c->message, ")");
}

static int check_facts(SinterContext *c, const SinterEntry *e) {
  const SinterCheck *k = RT_RECORDS(SinterCheck, e->checks);
  for (uint32_t i = 0; i < e->checks.n; i++) {
    int64_t v;
    if (rt_sym(RT_MODEL, k[i].cond, c->dims, &v) && v) continue;
    rt_fail(c->message, 0, "%s: %s does not hold", RT_TEXT(e->name), RT_TEXT(k[i].text));
    append_dims(c, e);
    return SINTER_ERROR_SHAPE;
  }
  return SINTER_OK;
}

static const char *port_name(const SinterPort *p) { return p->name ? RT_TEXT(p->name) : "out"; }

static int read_port(SinterContext *c, const SinterEntry *e, const SinterPort *p, const void *record, Span *span) {
  int64_t bytes = rt_dtype_size(p->dtype), size = bytes;
  bool fits = true;
  for (uint32_t i = 0; i < p->rank && fits; i++) {
    int64_t d;
    fits = rt_sym(RT_MODEL, p->dim[i], c->dims, &d) && d >= 0 && !__builtin_mul_overflow(bytes, d, &bytes);
  }
  if (!fits) {
    rt_fail(c->message, 0, "%s: %s is too large", RT_TEXT(e->name), port_name(p));
    append_dims(c, e);
    return SINTER_ERROR_SHAPE;
  }
  char *at = *(char *const *)(const void *)((const char *)record + p->field);
  if (!at && bytes) return rt_fail(c->message, SINTER_ERROR_ARGUMENT, "%s: %s is NULL", RT_TEXT(e->name), port_name(p));
  if ((uintptr_t)at % (uint64_t)size)
    return rt_fail(c->message, SINTER_ERROR_ARGUMENT, "%s: %s is not aligned to %d bytes", RT_TEXT(e->name),
                   port_name(p), size);
  *span = (Span){at, (uint64_t)bytes};
  return SINTER_OK;
}

static int read_ports(SinterContext *c, const SinterEntry *e, const void *in, void *out) {
  const SinterPort *ins = RT_RECORDS(SinterPort, e->inputs), *outs = RT_RECORDS(SinterPort, e->outputs);
  uint32_t n = e->inputs.n, all = n + e->outputs.n;
  for (uint32_t i = 0; i < all; i++) {
    int status = i < n ? read_port(c, e, &ins[i], in, &c->ports[i]) : read_port(c, e, &outs[i - n], out, &c->ports[i]);
    if (status) return status;
  }
  for (uint32_t i = 0; i < all; i++) { /* what is written overlaps nothing else */
    if (i < n && !ins[i].inout) continue;
    for (uint32_t k = 0; k < all; k++) {
      const Span *a = &c->ports[i], *b = &c->ports[k];
      if (k == i || !a->bytes || !b->bytes) continue;
      uintptr_t p = (uintptr_t)a->at, q = (uintptr_t)b->at;
      if (p < q ? a->bytes > q - p : b->bytes > p - q)
        return rt_fail(c->message, SINTER_ERROR_ARGUMENT, "%s: the memory of %s overlaps that of %s", RT_TEXT(e->name),
                       port_name(i < n ? &ins[i] : &outs[i - n]), port_name(k < n ? &ins[k] : &outs[k - n]));
    }
  }
  return SINTER_OK;
}

static const SinterPlan *choose_plan(const SinterContext *c, const SinterEntry *e) {
  const SinterVariant *v = RT_RECORDS(SinterVariant, e->variants);
  uint32_t level = c->on ? rt_gpu.level(c->on) : (uint32_t)c->weights->level;
  for (uint32_t i = 0; i < e->variants.n; i++) {
    int64_t fits;
    if (v[i].level == level && rt_sym(RT_MODEL, v[i].when, c->dims, &fits) && fits)
      return RT_RECORDS(SinterPlan, c->on ? RT_MODEL->gpu_plans : RT_MODEL->plans) + v[i].plan;
  }
  return NULL;
}

static __attribute__((noinline)) int fault(SinterContext *c, const SinterEntry *e, const char *what) {
  rt_fail(c->message, 0, "%s: %s: a fault of the compiler", RT_TEXT(e->name), what);
  append_dims(c, e);
  return SINTER_ERROR_ARTEFACT;
}

/* Makes those derived buffers of the plan anew that are behind their parameter. *again: the records were used for it,
 * the plan must be bound anew. */
static int prepare(SinterContext *c, const SinterEntry *e, const SinterPlan *plan, Binding at, bool *again) {
  const SinterBuf *b = RT_RECORDS(SinterBuf, plan->bufs);
  const SinterDerived *d = RT_RECORDS(SinterDerived, RT_MODEL->derived);
  uint8_t *stale = c->weights->stale;
  *again = false;
  for (uint32_t i = 0; i < plan->bufs.n; i++) {
    uint32_t k = b[i].index;
    if (b[i].kind != SINTER_BUF_DERIVED || !__atomic_load_n(&stale[k], __ATOMIC_ACQUIRE)) continue;
    int status = SINTER_OK;
    rt_lock(&c->weights->prepare_lock); /* other readers may want the same */
    if (stale[k]) {
      Run run;
      *again = true;
      at.fail = c->fail;
      if (rt_plan_bind(&run, c->records, RT_RECORDS(SinterPlan, RT_MODEL->plans) + d[k].plan, &at) &&
          !rt_plan_run(&run))
        __atomic_store_n(&stale[k], 0, __ATOMIC_RELEASE);
      else
        status = fault(c, e, "a parameter cannot be prepared");
    }
    rt_unlock(&c->weights->prepare_lock);
    if (status) return status;
  }
  return SINTER_OK;
}

static int failed(SinterContext *c, const SinterEntry *e, int64_t code) {
  const SinterPlace *p = RT_RECORDS(SinterPlace, RT_MODEL->places);
  if (code < 1 || (uint64_t)code > RT_MODEL->places.n)
    return rt_fail(c->message, SINTER_ERROR_INDEX, "%s: an index is out of range; nothing was stored",
                   RT_TEXT(e->name));
  p += code - 1;
  c->message[0] = 0;
  if (p->file) rt_append(c->message, "%s:%d:%d: ", RT_TEXT(p->file), (int64_t)p->line, (int64_t)p->col);
  rt_append(c->message, "index out of range in %s; nothing was stored", p->op ? RT_TEXT(p->op) : RT_TEXT(e->name));
  return SINTER_ERROR_INDEX;
}

static int does_not_fit(SinterContext *c, const SinterEntry *e) {
  return fault(c, e, "the plan does not fit these dimensions");
}

/* The weights, for a call that uses them where the context was made for. */
static __attribute__((noinline)) int take_weights(SinterContext *c, const SinterEntry *e, bool alone) {
  if (!rt_take(c->weights, alone))
    return rt_fail(c->message, SINTER_ERROR_BUSY,
                   alone ? "%s updates the weights, and another call is using them"
                         : "%s: another call is updating the weights",
                   RT_TEXT(e->name));
  if (c->on == c->weights->gpu) return SINTER_OK;
  rt_release(c->weights, alone);
  return rt_fail(c->message, SINTER_ERROR_ARGUMENT,
                 "%s: the weights were moved after this context was made: make another one", RT_TEXT(e->name));
}

static int run_here(SinterContext *c, const SinterEntry *e, const SinterPlan *plan) {
  SinterWeights *w = c->weights;
  Binding at = {.weights = w,
                .inputs = c->ports,
                .outputs = c->ports + e->inputs.n,
                .arena = c->arena,
                .arena_bytes = c->arena_bytes,
                .random = c->random,
                .dims = c->dims,
                .fail = c->fail,
                .threads = c->threads};
  Run run;
  int64_t arena;
  if (!rt_sym(RT_MODEL, plan->arena, c->dims, &arena) || arena < 0) return does_not_fit(c, e);
  if ((uint64_t)arena > c->arena_bytes)
    return rt_fail(c->message, SINTER_ERROR_WORKSPACE,
                   "%s: these dimensions need %d bytes of workspace, this context has %u", RT_TEXT(e->name), arena,
                   c->arena_bytes);
  if (!rt_plan_bind(&run, c->records, plan, &at)) return does_not_fit(c, e);
  bool alone = e->flags & SINTER_ENTRY_UPDATES, again;
  int status = take_weights(c, e, alone);
  if (status) return status;
  uint64_t mode = rt_float_mode();
  status = prepare(c, e, plan, at, &again);
  if (!status && again && !rt_plan_bind(&run, c->records, plan, &at)) status = does_not_fit(c, e);
  if (!status) {
    run.patience = run.threads > c->cpus ? 0 : 50;
    run.ticks = c->ticks, run.rows = c->tick_rows, run.steps = c->tick_steps;
    const SinterFail *f = rt_plan_run(&run);
    if (f) status = failed(c, e, f->code);
  }
  rt_float_mode_back(mode);
  if (alone) { /* whatever cell the plan names may have changed */
    const SinterBuf *b = RT_RECORDS(SinterBuf, plan->bufs);
    const SinterDerived *d = RT_RECORDS(SinterDerived, RT_MODEL->derived);
    for (uint32_t i = 0; i < RT_MODEL->derived.n; i++)
      for (uint32_t k = 0; k < plan->bufs.n; k++)
        if (b[k].kind == SINTER_BUF_CELL && b[k].index == d[i].cell) w->stale[i] = 1;
  }
  rt_release(w, alone);
  return status;
}

static int run_on_gpu(SinterContext *c, const SinterEntry *e, const SinterPlan *plan) {
  RtGpuCall call = {
      .entry = (uint32_t)(e - entries()), .plan = plan, .dims = c->dims, .ports = c->ports, .random = c->random};
  bool alone = e->flags & SINTER_ENTRY_UPDATES;
  int status = take_weights(c, e, alone);
  if (status) return status;
  status = rt_gpu.call(c->gpu, &call, c->message);
  rt_release(c->weights, alone);
  return !status && call.failed ? failed(c, e, call.failed) : status;
}

static int run_entry(SinterContext *c, uint32_t index, const void *in, void *out) {
  const SinterEntry *e = &entries()[index];
  const SinterWeights *w = c->weights;
  c->message[0] = 0;
  if (!in && e->in_bytes)
    return rt_fail(c->message, SINTER_ERROR_ARGUMENT, "%s: the struct of inputs is NULL", RT_TEXT(e->name));
  if (!out && e->out_bytes)
    return rt_fail(c->message, SINTER_ERROR_ARGUMENT, "%s: the struct of outputs is NULL", RT_TEXT(e->name));
  int status = read_dims(c, e, in);
  if (!status) status = check_facts(c, e);
  if (!status) status = read_ports(c, e, in, out);
  if (status) return status;
  const SinterPlan *plan = choose_plan(c, e);
  if (!plan) return fault(c, e, "no variant fits these dimensions");
  c->random[0] = (uint32_t)w->seed, c->random[1] = (uint32_t)(w->seed >> 32), c->random[2] = (uint32_t)c->calls[index];
  status = c->on ? run_on_gpu(c, e, plan) : run_here(c, e, plan);
  if (!status && e->flags & SINTER_ENTRY_RANDOM) c->calls[index]++, keep_call_number(c, index);
  return status;
}

int sinter_rt_call(SinterContext *c, uint32_t index, const void *in, void *out) {
  if (!c || index >= RT_MODEL->entries.n || index == RT_MODEL->init) return SINTER_ERROR_ARGUMENT;
  uint32_t free = 0;
  if (!__atomic_compare_exchange_n(&c->busy, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return SINTER_ERROR_BUSY; /* its message belongs to the call that runs */
  int status = run_entry(c, index, in, out);
  __atomic_store_n(&c->busy, 0, __ATOMIC_RELEASE);
  return status;
}

int sinter_rt_profile(SinterContext *c, uint64_t *ticks, uint32_t threads, uint32_t steps) {
  if (!c) return SINTER_ERROR_ARGUMENT;
  c->ticks = ticks, c->tick_rows = threads, c->tick_steps = steps;
  return SINTER_OK;
}

int sinter_rt_level(void) {
  char message[RT_MESSAGE] = "";
  return rt_level(message);
}

const SinterApi sinter_rt_api = {.size = sizeof(SinterApi),
                                 .abi = SINTER_ABI_VERSION,
                                 .model = RT_MODEL,
                                 .open = sinter_rt_open,
                                 .open_strict = sinter_rt_open_strict,
                                 .close = sinter_rt_close,
                                 .save = sinter_rt_save,
                                 .get = sinter_rt_get,
                                 .set = sinter_rt_set,
                                 .open_message = sinter_rt_open_message,
                                 .workspace = sinter_rt_workspace,
                                 .create = sinter_rt_create,
                                 .free = sinter_rt_free,
                                 .call = sinter_rt_call,
                                 .message = sinter_rt_message,
                                 .threads = sinter_rt_threads,
                                 .call_number = sinter_rt_call_number,
                                 .set_call_number = sinter_rt_set_call_number,
                                 .level = sinter_rt_level,
                                 .profile = sinter_rt_profile,
                                 .to = sinter_rt_to};
