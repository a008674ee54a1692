#include "loop_eval.h"
#include <stdlib.h>
#include <string.h>

/* ---- launches ---- */

typedef struct Partition { /* stages with equal keys in one epoch have the same actors */
  Sym tasks;               /* or, of segments: 0 and the list */
  const Storage *list;
  int64_t chunk, n;
  uint32_t base;
} Partition;

typedef struct Run {
  const LoopModule *m;
  LoopRun *out;
  Arena *arena;
  Vec(Storage *) storages;
  Vec(Prog *) progs;
  Vec(Partition) parts;
  uint32_t epoch, next, serial, launches, tokens;
  uint64_t random;
  const Plan *plan;
  const Step *step;
} Run;

typedef struct Env { /* dimensions of a kernel or plan */
  const Dim *dims;
  uint32_t n;
  const int64_t *value;
} Env;

static bool look_up(void *ctx, const char *name, int64_t *value) {
  const Env *e = ctx;
  for (uint32_t i = 0; i < e->n; i++)
    if (!strcmp(e->dims[i].name, name)) {
      *value = e->value[i];
      return true;
    }
  return false;
}

static bool run_fault(const Run *r, int line, const char *id, const char *text) {
  Loc loc = loop_place(r->m, line ? line : r->step ? r->step->line : r->plan->line);
  return loc ? diag_error(r->m->ctx->diag, id, loc, "%s", text)
             : diag_error(r->m->ctx->diag, id, 0, "plan %s: %s", r->plan->name, text);
}
#define RUN_FAULT(r, line, ...) run_fault(r, line, "loop-run", arena_printf((r)->arena, __VA_ARGS__))

static bool evaluate(Run *r, Sym s, Env *env, const char *what, int64_t *out) {
  return sym_eval(r->m->ctx->syms, s, look_up, env, out) ||
         RUN_FAULT(r, 0, "%s has no value: %s", what, sym_text(r->m->ctx->syms, s, r->arena));
}

/* Bounds and facts of a header hold for these values. */
static bool check_facts(Run *r, const char *name, const Dim *dims, uint32_t n, const Sym *facts, uint32_t nfacts,
                        Env *env) {
  for (uint32_t i = 0; i < n; i++)
    if (env->value[i] < dims[i].lo || env->value[i] > dims[i].hi)
      return RUN_FAULT(r, 0, "%s: %s = %lld is outside its bounds", name, dims[i].name, (long long)env->value[i]);
  for (uint32_t i = 0; i < nfacts; i++) {
    int64_t v;
    if (!evaluate(r, facts[i], env, "a fact", &v)) return false;
    if (!v)
      return RUN_FAULT(r, 0, "%s: a fact of where does not hold: %s", name,
                       sym_text(r->m->ctx->syms, facts[i], r->arena));
  }
  return true;
}

/* The shape and layout of a buffer, without its memory. */
static bool shape_of(Run *r, const LoopBuf *b, Env *env, Mem *m) {
  *m = (Mem){.dtype = b->dtype,
             .rank = b->rank,
             .layout = b->layout,
             .axis = b->panel_axis,
             .width = b->width,
             .roll = b->buffers != 0};
  for (int i = 0; i < b->rank; i++) {
    if (!evaluate(r, b->dim[i], env, b->name, &m->dim[i])) return false;
    if (b->layout == LAYOUT_STRIDES && !evaluate(r, b->stride[i], env, b->name, &m->stride[i])) return false;
  }
  if (b->buffers && !evaluate(r, b->buffers, env, b->name, &m->dim[0])) return false;
  if (b->buffers && m->dim[0] < 1) return RUN_FAULT(r, b->line, "%s has no rows to roll", b->name);
  return mem_count(m, &m->count) ||
         RUN_FAULT(r, b->line, "%s has a negative size or more elements than can be interpreted", b->name);
}

static Storage *new_storage(Run *r, void *data, int64_t bytes, int unit) {
  Storage *s = storage_new(r->arena, data, bytes, unit);
  vec_push(r->arena, &r->storages, s);
  return s;
}

static void new_epoch(Run *r) {
  r->epoch = r->serial = r->next++;
  r->parts.n = 0;
}

typedef struct Span { /* memory of an argument */
  const Storage *st;
  int64_t lo, hi;
  int param;
} Span;

static void add_span(const Mem *m, int param, Span *out) {
  *out = (Span){m->st, m->byte, m->byte + m->count * (int64_t)dtype_size(m->dtype), param};
}

/* Two arguments that share memory, one of them stored to, must be declared in place of each other. */
static bool check_aliases(Run *r, const Kernel *k, Mem *mem, const Span *span, int n) {
  for (int a = 0; a < n; a++)
    for (int b = 0; b < a; b++) {
      const Span *x = &span[a], *y = &span[b];
      const LoopBuf *p = &k->bufs.at[x->param], *q = &k->bufs.at[y->param];
      if (x->st != y->st || x->lo >= y->hi || y->lo >= x->hi || (p->kind == BUF_IN && q->kind == BUF_IN)) continue;
      if ((p->inplace != y->param && q->inplace != x->param) || x->lo != y->lo || p->list)
        return RUN_FAULT(r, 0, "%s: %s and %s overlap and are not declared in place", k->name, p->name, q->name);
      mem[x->param].alias = r->launches << 8 | (uint32_t)(x->param + 1);
      mem[y->param].alias = r->launches << 8 | (uint32_t)(y->param + 1);
    }
  return true;
}

static bool bind(Run *r, const Kernel *k, const Prog *p, const Mem *given, Env *env, Mem *mem) {
  int spans = 0, n = 0;
  for (int i = 0; i < k->nparams; i++) spans += given[i].list ? given[i].nlist : given[i].st != NULL;
  Span *span = ARENA_ARRAY(r->arena, Span, spans + 1);
  for (int i = 0; i < k->nparams; i++) {
    const LoopBuf *b = &k->bufs.at[i];
    const Mem *g = &given[i];
    if (!g->st && !g->list) {
      if (p->uses[i]) return RUN_FAULT(r, 0, "%s.%s: argument %s is missing", k->name, p->stage->name, b->name);
      continue;
    }
    if (b->list) {
      mem[i] = *g;
      for (int j = 0; j < g->nlist; j++) add_span(&g->list[j], i, &span[n++]);
      continue;
    }
    if (!shape_of(r, b, env, &mem[i])) return false;
    int64_t align = 1;
    if (b->align && !evaluate(r, b->align, env, b->name, &align)) return false;
    if (g->dtype != b->dtype || mem[i].count > g->count)
      return RUN_FAULT(r, 0, "%s: %s is %s of %lld elements, needs %s of %lld", k->name, b->name, dtype_name(g->dtype),
                       (long long)g->count, dtype_name(b->dtype), (long long)mem[i].count);
    if (align > 1 && g->byte % align)
      return RUN_FAULT(r, 0, "%s: %s is not aligned: it lies at byte %lld of its memory, not at a multiple of %lld",
                       k->name, b->name, (long long)g->byte, (long long)align);
    mem[i].st = g->st;
    mem[i].byte = g->byte;
    mem[i].token = g->token;
    add_span(&mem[i], i, &span[n++]);
  }
  return check_aliases(r, k, mem, span, n);
}

/* Scratch of the tasks: one memory, forgotten before each task. */
static bool make_scratch(Run *r, const Kernel *k, const Stage *st, Env *env, Mem *mem) {
  for (const Stmt *s = st->body; s; s = s->next) {
    if (s->kind != STMT_ALLOC) continue;
    const LoopBuf *b = &k->bufs.at[s->ref];
    Mem *m = &mem[s->ref];
    if (!shape_of(r, b, env, m)) return false;
    m->st = storage_new(r->arena, NULL, m->count * (int64_t)dtype_size(b->dtype), (int)dtype_size(b->dtype));
    m->st->private = b->kind == BUF_THREAD;
    m->token = 1;
  }
  return true;
}

typedef struct Tasks {
  int64_t extent[LOOP_AXES], n;
  const Mem *list; /* segments */
  uint32_t base;   /* actor of task 0 */
} Tasks;

static int64_t pieces(const Mem *m, int64_t chunk) { return (m->dim[0] + chunk - 1) / chunk; }

static bool count_tasks(Run *r, const Kernel *k, const Stage *st, const Step *step, const Mem *mem, Env *env,
                        Tasks *t) {
  Partition key = {.chunk = st->chunk};
  t->n = 1;
  if (st->segmented) {
    t->list = &mem[st->segment_buf];
    t->n = 0;
    for (int i = 0; i < t->list->nlist; i++) t->n += pieces(&t->list->list[i], st->chunk);
    key.list = t->list->nlist ? t->list->list[0].st : NULL;
  } else {
    SymTab *tab = r->m->ctx->syms;
    const char **names = ARENA_ARRAY(r->arena, const char *, k->dims.n + 1);
    for (uint32_t i = 0; i < k->dims.n; i++) names[i] = k->dims.at[i].name;
    key.tasks = sym_int(tab, 1);
    for (int i = 0; i < st->naxes; i++) {
      if (!evaluate(r, st->extent[i], env, "an axis", &t->extent[i])) return false;
      if (t->extent[i] < 0) t->extent[i] = 0;
      if (__builtin_mul_overflow(t->n, t->extent[i], &t->n)) t->n = INT64_MAX;
      key.tasks = sym_mul(tab, key.tasks, sym_replace(tab, st->extent[i], names, step->dims, (int)k->dims.n));
    }
  }
  key.n = t->n;
  if (t->n > INT64_C(1) << 26 || r->next > UINT32_MAX - (UINT32_C(1) << 29))
    return RUN_FAULT(r, 0, "%s.%s: %lld tasks are too many to interpret", k->name, st->name, (long long)t->n);
  for (uint32_t i = 0; i < r->parts.n; i++) {
    const Partition *p = &r->parts.at[i];
    if (p->tasks == key.tasks && p->list == key.list && p->chunk == key.chunk && p->n == key.n) {
      t->base = p->base;
      return true;
    }
  }
  t->base = key.base = r->next;
  r->next += (uint32_t)t->n;
  vec_push(r->arena, &r->parts, key);
  return true;
}

static void set_axes(Task *t, const Stage *st, const Tasks *all, int64_t i) {
  Scalar *v = t->v;
  if (all->list) {
    int s = 0;
    for (; i >= pieces(&all->list->list[s], st->chunk); s++) i -= pieces(&all->list->list[s], st->chunk);
    v[t->p->var[st->axis[0]]].i = s;
    v[t->p->var[st->axis[1]]].i = i * st->chunk;
    return;
  }
  for (int a = st->naxes - 1; a >= 0; a--) {
    v[t->p->var[st->axis[a]]].i = i % all->extent[a];
    i /= all->extent[a];
  }
}

static void set_task(const Run *r, Task *t, const Tasks *all, int64_t i, bool serial) {
  const Kernel *k = t->p->k;
  t->index = i;
  t->who.actor = serial ? r->serial : all->base + (uint32_t)i;
  t->who.epoch = r->epoch;
  t->mask = t->soft = NULL;
  for (uint32_t b = (uint32_t)k->nparams; b < k->bufs.n; b++)
    if (t->mem[b].st) storage_forget(t->mem[b].st);
  set_axes(t, t->p->stage, all, i);
}

/* In any order: no result may depend on it. */
static bool run_tasks(Run *r, const Prog *p, const Tasks *all, bool serial, const int64_t *dims, Mem *mem) {
  Task t = {.m = r->m, .out = r->out, .p = p, .mem = mem, .fused = strcmp(r->out->level, "v2") != 0};
  uint32_t *order = mem_alloc(((size_t)all->n + 1) * sizeof *order);
  random_order(&r->random, order, all->n);
  eval_frame(&t, dims);
  Block *block = p->stage->threads ? block_new(&t, &r->random, &r->next) : NULL;
  bool ok = true;
  for (int64_t i = 0; ok && i < all->n; i++) {
    set_task(r, &t, all, order[i], serial);
    ok = block ? block_run(block, &t) : eval_block(&t, p->body);
  }
  if (block) block_free(block);
  eval_free(&t);
  free(order);
  return ok;
}

static const Prog *compiled(Run *r, const Kernel *k, const Stage *st) {
  for (uint32_t i = 0; i < r->progs.n; i++)
    if (r->progs.at[i]->stage == st) return r->progs.at[i];
  vec_push(r->arena, &r->progs, eval_compile(r->arena, k, st));
  return vec_last(&r->progs);
}

static bool launch(Run *r, const Step *s, const Mem *given, const int64_t *dims) {
  const Kernel *k = r->m->kernels.at[s->kernel];
  const Stage *st = k->stages.at[s->stage];
  const Prog *p = compiled(r, k, st);
  Env env = {k->dims.at, k->dims.n, dims};
  if (!check_facts(r, k->name, k->dims.at, k->dims.n, k->facts.at, k->facts.n, &env)) return false;
  if (st->threads) new_epoch(r); /* launches of a stream are ordered */
  r->launches++;
  Mem *mem = ARENA_ARRAY(r->arena, Mem, k->bufs.n + 1);
  Tasks tasks = {0};
  if (!bind(r, k, p, given, &env, mem) || !count_tasks(r, k, st, s, mem, &env, &tasks)) return false;
  bool ok = make_scratch(r, k, st, &env, mem) && run_tasks(r, p, &tasks, s->serial, dims, mem);
  for (uint32_t b = (uint32_t)k->nparams; b < k->bufs.n; b++)
    if (mem[b].st) storage_free(mem[b].st);
  if (st->threads) new_epoch(r);
  return ok;
}

/* ---- plans ---- */

static bool sub_view(Run *r, const View *v, const Mem *bufs, Env *env, Mem *out) {
  if (v->nlist) {
    *out = (Mem){.nlist = v->nlist, .list = ARENA_ARRAY(r->arena, Mem, v->nlist)};
    for (int i = 0; i < v->nlist; i++) {
      if (!sub_view(r, &v->list[i], bufs, env, &out->list[i])) return false;
      out->list[i].dim[0] = out->list[i].count; /* tensors of a list are seen flat */
      out->list[i].rank = 1;
    }
    return true;
  }
  *out = bufs[v->buf];
  if (!v->nindex) return true;
  const char *name = r->plan->bufs.at[v->buf].name;
  int64_t index[LOOP_RANK], hi = -1, o = 0, rest = 1;
  if (v->hi && !evaluate(r, v->hi, env, name, &hi)) return false;
  for (int i = 0; i < v->nindex; i++) {
    if (!evaluate(r, v->index[i], env, name, &index[i])) return false;
    bool end = v->hi && i == v->nindex - 1 && index[i] == out->dim[i]; /* an empty slice may begin at the end */
    if (index[i] < 0 || (index[i] >= out->dim[i] && !end))
      return RUN_FAULT(r, 0, "%s: view index %lld is outside 0..%lld", name, (long long)index[i],
                       (long long)out->dim[i]);
    o = o * out->dim[i] + index[i];
  }
  int last = v->nindex - 1;
  if (v->hi && (hi > out->dim[last] || hi < index[last]))
    return RUN_FAULT(r, 0, "%s: view bound %lld is outside %lld..%lld", name, (long long)hi, (long long)index[last],
                     (long long)out->dim[last]);
  int rank = 0;
  int64_t dim[LOOP_RANK];
  if (v->hi) dim[rank++] = hi - index[last];
  for (int i = v->nindex; i < out->rank; i++) {
    rest *= out->dim[i];
    dim[rank++] = out->dim[i];
  }
  out->byte += o * rest * (int64_t)dtype_size(out->dtype);
  out->rank = rank;
  memcpy(out->dim, dim, (size_t)rank * sizeof *dim);
  return mem_count(out, &out->count);
}

static bool copy(Run *r, Mem *to, Mem *from) {
  if (to->count != from->count)
    return RUN_FAULT(r, 0, "copy between different shapes: %lld and %lld elements", (long long)to->count,
                     (long long)from->count);
  Accessor a = {.actor = r->serial, .epoch = r->epoch, .name = "copy"};
  Mem *m[2] = {from, to};
  for (int i = 0; i < 2; i++) {
    m[i]->rank = 1;
    m[i]->dim[0] = m[i]->count;
    m[i]->layout = LAYOUT_ROWS;
  }
  for (int64_t i = 0; i < to->count; i++)
    if (!mem_read(from, &i, i, false, &a) || !mem_write(to, &i, i, false, &a)) return RUN_FAULT(r, 0, "%s", a.why);
  memmove(mem_at(to, 0), mem_at(from, 0), (size_t)to->count * dtype_size(to->dtype));
  return true;
}

static bool run_step(Run *r, const Step *s, const Mem *bufs, Env *env) {
  r->step = s;
  if (s->kind == STEP_BARRIER) {
    new_epoch(r);
    return true;
  }
  Mem *views = ARENA_ARRAY(r->arena, Mem, s->nviews + 1);
  for (int i = 0; i < s->nviews; i++)
    if ((s->views[i].buf >= 0 || s->views[i].nlist) && !sub_view(r, &s->views[i], bufs, env, &views[i])) return false;
  bool skipped = s->commit && r->out->status;
  if (s->kind == STEP_COPY) return skipped || copy(r, &views[0], &views[1]);
  int64_t *dims = ARENA_ARRAY(r->arena, int64_t, s->ndims + 1);
  for (int i = 0; i < s->ndims; i++)
    if (!evaluate(r, s->dims[i], env, "a dimension", &dims[i])) return false;
  return skipped || launch(r, s, views, dims);
}

static void fill(Storage *s, uint32_t token) {
  for (int64_t i = 0; i < s->n; i++) s->own[i] = token;
}

static Mem *argument(Run *r, const LoopBuf *b, Mem *m, void *data) {
  m->token = ++r->tokens;
  m->st = new_storage(r, data, m->count * (int64_t)dtype_size(b->dtype), (int)dtype_size(b->dtype));
  if (b->kind != BUF_OUT) fill(m->st, m->token);
  return m;
}

static bool make_buffers(Run *r, const Plan *p, const LoopArg *args, Env *env, Mem *bufs) {
  int64_t *at = ARENA_ARRAY(r->arena, int64_t, p->bufs.n + 1), end = 0;
  int unit = 8;
  for (uint32_t i = 0; i < p->bufs.n; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    if (b->list) {
      bufs[i] = (Mem){
          .dtype = b->dtype, .rank = 1, .nlist = args[i].nlist, .list = ARENA_ARRAY(r->arena, Mem, args[i].nlist + 1)};
      for (int j = 0; j < args[i].nlist; j++) {
        bufs[i].list[j] =
            (Mem){.dtype = b->dtype, .rank = 1, .dim = {args[i].list_len[j]}, .count = args[i].list_len[j]};
        argument(r, b, &bufs[i].list[j], args[i].list[j]);
      }
      continue;
    }
    if (!shape_of(r, b, env, &bufs[i])) return false;
    if ((int)i < p->nparams) {
      argument(r, b, &bufs[i], args[i].data);
      continue;
    }
    bufs[i].token = ++r->tokens;
    int64_t bytes = bufs[i].count * (int64_t)dtype_size(b->dtype);
    if (!b->at) {
      bufs[i].st = new_storage(r, NULL, bytes, (int)dtype_size(b->dtype));
      continue;
    }
    if (!evaluate(r, b->at, env, b->name, &at[i])) return false;
    if (at[i] < 0 || at[i] % 64)
      return RUN_FAULT(r, b->line, "%s: offset %lld is not aligned: it must be a multiple of 64", b->name,
                       (long long)at[i]);
    if (at[i] > INT64_C(1) << 40)
      return RUN_FAULT(r, b->line, "%s: offset %lld is too large to interpret", b->name, (long long)at[i]);
    bufs[i].byte = at[i];
    if (at[i] + bytes > end) end = at[i] + bytes;
    if ((int)dtype_size(b->dtype) < unit) unit = (int)dtype_size(b->dtype);
  }
  Storage *arena = NULL;
  for (uint32_t i = (uint32_t)p->nparams; i < p->bufs.n; i++) {
    if (!p->bufs.at[i].at) continue;
    if (!arena) arena = new_storage(r, NULL, (end + 7) / 8 * 8, unit);
    bufs[i].st = arena;
  }
  return true;
}

static bool all_written(Run *r, const LoopBuf *b, const Mem *m) {
  for (int64_t i = 0; i < m->st->n; i++)
    if (!m->st->own[i]) {
      r->step = NULL;
      return RUN_FAULT(r, b->line, "%s: element %lld of %s was never written", r->plan->name, (long long)i, b->name);
    }
  return true;
}

static bool run_plan(Run *r, const Plan *p, const int64_t *dims, const LoopArg *args) {
  Env env = {p->dims.at, p->dims.n, dims};
  Mem *bufs = ARENA_ARRAY(r->arena, Mem, p->bufs.n + 1);
  r->plan = p;
  if (!check_facts(r, p->name, p->dims.at, p->dims.n, p->facts.at, p->facts.n, &env) ||
      !make_buffers(r, p, args, &env, bufs))
    return false;
  new_epoch(r);
  for (const Step *s = p->steps; s; s = s->next)
    if (!run_step(r, s, bufs, &env)) return false;
  for (int i = 0; i < p->nparams && !r->out->status; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    if (b->kind != BUF_OUT) continue;
    for (int j = 0; j < (b->list ? bufs[i].nlist : 1); j++)
      if (!all_written(r, b, b->list ? &bufs[i].list[j] : &bufs[i])) return false;
  }
  return true;
}

static const Plan *choose(const LoopModule *m, const char *name, const int64_t *dims, const char *level) {
  const Plan *p = loop_module_plan(m, name, NULL);
  for (uint32_t e = 0; e < m->entries.n; e++) {
    if (strcmp(m->entries.at[e]->name, name)) continue;
    for (uint32_t i = 0; i < m->entries.at[e]->variants.n; i++) {
      const PlanVariant *v = &m->entries.at[e]->variants.at[i];
      const Plan *q = loop_module_plan(m, v->plan, NULL);
      int64_t fits = 1;
      if (!q || v->gpu || (v->level && strcmp(v->level, level))) continue;
      Env env = {q->dims.at, q->dims.n, dims};
      if (v->when && !sym_eval(m->ctx->syms, v->when, look_up, &env, &fits)) fits = 0;
      if (fits) return q;
    }
  }
  return p;
}

bool loop_run(const LoopModule *m, const char *name, const int64_t *dims, const LoopArg *args, LoopRun *out) {
  if (!out->level) out->level = "v4";
  out->status = out->fail_task = 0;
  out->plan = NULL;
  if (!loop_verify(m, out->level)) return false;
  const Plan *p = choose(m, name, dims, out->level);
  if (!p) return diag_error(m->ctx->diag, "loop-name", 0, "no plan and no entry %s with a variant that fits", name);
  out->plan = p->name;
  Run r = {.m = m,
           .out = out,
           .arena = arena_new(),
           .next = 1,
           .random = out->seed * UINT64_C(0x9E3779B97F4A7C15) + 0x2545F4914F6CDD1D};
  bool ok = run_plan(&r, p, dims, args);
  for (uint32_t i = 0; i < r.storages.n; i++) storage_free(r.storages.at[i]);
  arena_free(r.arena);
  return ok;
}
