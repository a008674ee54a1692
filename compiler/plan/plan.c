/* Plans: fuse, lower group by group, give every stored value its buffer, write the steps with commits last; then give
 * the buffers of the arena their places, and put barriers where steps meet in memory. */
#include "planner.h"
#include "scalar.h"
#include <string.h>

/* ---- buffers ---- */

static int add_buffer(Planner *p, const char *name, BufKind kind, DType d, const Sym *shape, int rank, BindKind bind,
                      int index) {
  LoopBuf b = {.name = name, .kind = kind, .dtype = d, .rank = rank, .inplace = -1};
  if (rank) memcpy(b.dim, shape, (size_t)rank * sizeof *shape);
  vec_push(p->arena, &p->plan->bufs, b);
  vec_push(p->arena, &p->out->binds, (PlanBind){bind, index});
  vec_push(p->arena, &p->life, (Life){.part = -1});
  return (int)p->plan->bufs.n - 1;
}

/* The plan's buffer with this binding, -1 if there is none yet. */
static int bound_buffer(const Planner *p, BindKind kind, int index) {
  for (uint32_t i = 0; i < p->out->binds.n; i++)
    if (p->out->binds.at[i].kind == kind && p->out->binds.at[i].index == index) return (int)i;
  return -1;
}

static void copy_layout(LoopBuf *to, const LoopBuf *from) {
  to->layout = from->layout;
  to->panel_axis = from->panel_axis;
  to->width = from->width;
  to->align = from->align;
}

static int arena_buffer(Planner *p, const char *name, DType d, const Sym *shape, int rank, int from, int to) {
  int b = add_buffer(p, name, BUF_INOUT, d, shape, rank, BIND_ARENA, -1);
  p->life.at[b] = (Life){.from = from, .to = to, .part = -1};
  return b;
}

/* The bytes are one constant for all entries and levels. */
static int add_constant(Planner *p, const void *data, size_t bytes) {
  uint32_t i = 0;
  while (i < p->unit->consts.n &&
         (p->unit->consts.at[i].bytes != bytes || memcmp(p->unit->consts.at[i].data, data, bytes)))
    i++;
  if (i == p->unit->consts.n) vec_push(p->arena, &p->unit->consts, (PlanConst){data, bytes});
  return (int)i;
}

/* A table that stayed in its file until now. */
static int file_constant(Planner *p, Id v) {
  const char *path = graph_attr_str(p->g, v, "file"), *why = "it is shorter than it was";
  size_t n = 0, offset = (size_t)graph_attr_int(p->g, v, "offset");
  int64_t count = 0;
  if (!sym_is_int(p->syms, sym_product(p->syms, graph_shape(p->g, v), graph_rank(p->g, v)), &count))
    BUG("a table of unknown size");
  size_t bytes = (size_t)count * dtype_size(graph_dtype(p->g, v));
  char *text = file_read(p->arena, path, &n, &why);
  if (text && offset <= n && bytes <= n - offset) {
    for (size_t i = 0; graph_dtype(p->g, v) == DT_BOOL && i < bytes; i++) text[offset + i] = text[offset + i] != 0;
    return add_constant(p, text + offset, bytes);
  }
  p->failed = !diag_error(p->g->ctx->diag, "plan-data", graph_at(p->g, v)->loc, "cannot read %zu bytes of %s: %s",
                          bytes, path, why);
  return add_constant(p, arena_alloc(p->arena, bytes + 1), bytes);
}

static int constant(Planner *p, Id v) {
  int n;
  if (graph_op(p->g, v) == OP_DATA) return file_constant(p, v);
  const int64_t *w = graph_attr(p->g, v, "value", &n);
  DType d = graph_dtype(p->g, v);
  size_t size = dtype_size(d);
  char *data = arena_alloc(p->arena, size * (size_t)n);
  for (int i = 0; i < n; i++) {
    Scalar x;
    memcpy(&x, &w[i], sizeof x);
    scalar_store(d, x, data + (size_t)i * size);
  }
  return add_constant(p, data, size * (size_t)n);
}

/* The plan's buffer of a leaf. */
static int leaf_buffer(Planner *p, Id v) {
  const Graph *g = p->g;
  if (p->home[v] >= 0) return p->home[v];
  Op o = graph_op(g, v);
  BindKind kind = o == OP_CELL ? BIND_CELL : o == OP_INPUT ? BIND_INPUT : BIND_CONST;
  int index = 0;
  const char *name = NULL;
  bool inout = false;
  if (o == OP_CELL) {
    index = (int)graph_attr_int(g, v, "cell");
    name = arena_printf(p->arena, "c%d", index);
    inout = p->updated[v];
  } else if (o == OP_INPUT) {
    while (index < (int)p->e->inputs.n && p->e->inputs.at[index].node != v) index++;
    if (index == (int)p->e->inputs.n) BUG("an input that is no port");
    name = arena_printf(p->arena, "x%d", index);
    inout = p->e->inputs.at[index].inout;
  } else {
    index = constant(p, v);
    name = arena_printf(p->arena, "k%d", index);
  }
  return p->home[v] = add_buffer(p, name, inout ? BUF_INOUT : BUF_IN, graph_dtype(g, v), graph_shape(g, v),
                                 graph_rank(g, v), kind, index);
}

/* ---- updates ---- */

typedef struct Same { /* whether `reader` reads `old` only where the new value of this element is made */
  Id old, reader, value;
  const Graph *g;
  bool same;
} Same;

static void check_same(void *ctx, Id read, const Map *m) {
  Same *s = ctx;
  if (read != s->old) return;
  s->same &= op_elementwise(graph_op(s->g, s->reader)) && graph_rank(s->g, s->reader) == graph_rank(s->g, s->value);
  for (int i = 0; i < graph_rank(s->g, read); i++)
    s->same &=
        m->axis[i] == i || (m->axis[i] == AXIS_ZERO && planner_is_one(s->g->ctx->syms, graph_shape(s->g, read)[i]));
}

static bool reads_same(const Graph *g, Id reader, Id old, Id value) {
  Same s = {old, reader, value, g, true};
  group_reads(g, reader, check_same, &s);
  return s.same;
}

/* Whether group k must read `old` where another element of `value` may be stored already. */
static bool reads_other(const Planner *p, int k, Id old, Id value) {
  const Group *grp = &p->out->groups->at.at[k];
  if (grp->kind == GROUP_ROW || group_attends(grp)) return true; /* a later pass over the row reads again */
  for (uint32_t m = 0; m < grp->members.n; m++)
    if (!reads_same(p->g, grp->members.at[m], old, value)) return true;
  return false;
}

/* The same of an update at a place known at run time: neither its places nor what it stores may come from `old`. */
static bool update_reads(const Planner *p, Id old, Id value) {
  for (uint32_t i = 1; i < graph_at(p->g, value)->nin; i++) {
    Id x = graph_in(p->g, value)[i];
    if (x == old || (group_free(p->g, x) && !reads_same(p->g, x, old, value))) return true;
  }
  return false;
}

static bool kernel_reads(const Lowered *low, Id v) {
  for (uint32_t i = 0; i < low->args.n; i++)
    if (low->args.at[i].kind == ARG_NODE && low->args.at[i].node == v && !low->args.at[i].out) return true;
  return false;
}

/* Whether group k may store the new value over the old one (0: nobody reads that): all others have read it before, and
 * nothing can fail later. */
static bool in_place(const Planner *p, int k, Id old, Id value) {
  bool update = graph_op(p->g, value) == OP_DYNAMIC_UPDATE && graph_in(p->g, value)[0] == old;
  for (int i = k; i < (int)p->out->kernels.n; i++) {
    const Lowered *low = &p->out->kernels.at[i];
    bool fails = loop_kernel_fails(p->level->module->kernels.at[low->kernel]);
    if (fails && !(update && i == k)) return false; /* the tasks of an update fail all or none */
    if (i > k && old && kernel_reads(low, old)) return false;
  }
  if (!old) return true;
  if (update) return !update_reads(p, old, value);
  return !kernel_reads(&p->out->kernels.at[k], old) || !reads_other(p, k, old, value);
}

/* ---- steps ---- */

static Step *add_step(Planner *p, StepKind kind) {
  Step *s = ARENA_NEW(p->arena, Step);
  s->kind = kind;
  *p->tail = s;
  p->tail = &s->next;
  vec_push(p->arena, &p->positions, p->position);
  return s;
}

static void add_copy(Planner *p, int to, int from, bool commit) {
  Step *s = add_step(p, STEP_COPY);
  s->commit = commit;
  s->nviews = 2;
  s->views = ARENA_ARRAY(p->arena, View, 2);
  s->views[0].buf = to;
  s->views[1].buf = from;
  s->bytes = plan_axis_bytes(p->syms, &p->plan->bufs.at[to], -1);
}

static const Step *add_launch(Planner *p, const Lowered *low, const LowStage *stage, const int *bufs, bool commit) {
  const Kernel *k = p->level->module->kernels.at[low->kernel];
  bool *read = ARENA_ARRAY(p->arena, bool, k->bufs.n), *write = ARENA_ARRAY(p->arena, bool, k->bufs.n);
  loop_uses(k, k->stages.at[stage->stage], read, write);
  Step *s = add_step(p, STEP_LAUNCH);
  s->kernel = low->kernel;
  s->stage = stage->stage;
  s->serial = stage->serial;
  s->commit = commit;
  s->work = stage->work;
  s->flops = stage->flops;
  s->ndims = (int)k->dims.n;
  s->dims = ARENA_ARRAY(p->arena, Sym, k->dims.n);
  for (uint32_t i = 0; i < k->dims.n; i++) {
    s->dims[i] = sym_int(p->syms, k->dims.at[i].lo);
    for (uint32_t j = 0; j < p->plan->dims.n; j++)
      if (p->plan->dims.at[j].name == k->dims.at[i].name) s->dims[i] = k->dims.at[i].var;
  }
  s->nviews = k->nparams;
  s->views = ARENA_ARRAY(p->arena, View, k->nparams);
  s->bytes = sym_int(p->syms, 0);
  uint8_t *seen = ARENA_ARRAY(p->arena, uint8_t, p->plan->bufs.n);
  for (int i = 0; i < k->nparams; i++) {
    s->views[i].buf = read[i] || write[i] ? bufs[i] : -1;
    if (s->views[i].buf < 0) continue;
    int uses = (read[i] ? 1 : 0) | (write[i] ? 2 : 0), more = uses & ~seen[bufs[i]];
    seen[bufs[i]] |= (uint8_t)uses;
    for (; more; more &= more - 1)
      s->bytes = sym_add(p->syms, s->bytes, plan_axis_bytes(p->syms, &p->plan->bufs.at[bufs[i]], -1));
  }
  return s;
}

/* ---- prepare ---- */

static int derived(Planner *p, const Lowered *low, uint32_t arg) {
  LevelUnit *lv = p->level;
  const LowArg *a = &low->args.at[arg];
  int cell = (int)graph_attr_int(p->g, a->node, "cell");
  for (uint32_t i = 0; i < lv->derived.n; i++)
    if (lv->derived.at[i].cell == cell && lv->derived.at[i].kind == a->layout) return (int)i;
  const Kernel *k = lv->module->kernels.at[low->kernel];
  const Cell *c = &p->unit->program->cells.at[cell];
  Derived d = {.name = c->name, .kind = a->layout, .cell = cell};
  int64_t bytes;
  if (!sym_is_int(p->syms, plan_axis_bytes(p->syms, &k->bufs.at[arg], -1), &bytes))
    BUG("a packed parameter of unknown size");
  d.bytes = (uint64_t)bytes;
  vec_push(p->arena, &lv->derived, d);
  int index = (int)lv->derived.n - 1;

  Plan *plan = ARENA_NEW(p->arena, Plan);
  plan->name = arena_printf(p->arena, "prepare_%d", index);
  Planner q = *p;
  q.plan = plan;
  q.tail = &plan->steps;
  EntryPlan made = {.plan = plan, .arena = sym_int(p->syms, 0), .lower_bound = sym_int(p->syms, 0)};
  q.out = &made;
  memset(&q.life, 0, sizeof q.life);
  memset(&q.positions, 0, sizeof q.positions);
  int *bufs = ARENA_ARRAY(p->arena, int, k->nparams);
  for (int i = 0; i < k->nparams; i++) {
    bufs[i] = -1;
    if (low->args.at[i].kind == ARG_NODE && low->args.at[i].node == a->node && !low->args.at[i].out)
      bufs[i] = add_buffer(&q, "w", BUF_IN, c->dtype, k->bufs.at[i].dim, k->bufs.at[i].rank, BIND_CELL, cell);
    if (i == (int)arg) {
      bufs[i] = add_buffer(&q, "panels", BUF_OUT, k->bufs.at[i].dtype, k->bufs.at[i].dim, k->bufs.at[i].rank,
                           BIND_DERIVED, index);
      copy_layout(&plan->bufs.at[bufs[i]], &k->bufs.at[i]);
    }
  }
  plan->nparams = (int)plan->bufs.n;
  for (uint32_t i = 0; i < low->stages.n; i++)
    if (low->stages.at[i].prepares) add_launch(&q, low, &low->stages.at[i], bufs, false);
  vec_push(p->arena, &lv->module->plans, plan);
  lv->derived.at[index].plan = made;
  return index;
}

/* ---- one entry ---- */

typedef struct Store { /* what an entry stores beside its outputs: a cell or an inout */
  Id old, value;       /* old: the node of the value before, 0 if the entry never reads it */
  int cell, input;     /* one of them; -1 */
} Store;

static Id cell_node(const Graph *g, int cell) {
  for (Id v = 1; v < g->node.n; v++)
    if (graph_op(g, v) == OP_CELL && graph_attr_int(g, v, "cell") == cell) return v;
  return 0;
}

static int store_buffer(Planner *p, const Store *s) {
  if (s->old) return leaf_buffer(p, s->old);
  const Cell *c = &p->unit->program->cells.at[s->cell];
  int b = bound_buffer(p, BIND_CELL, s->cell);
  return b >= 0 ? b
                : add_buffer(p, arena_printf(p->arena, "c%d", s->cell), BUF_INOUT, c->dtype, c->shape, c->rank,
                             BIND_CELL, s->cell);
}

static int64_t buffer_order(PlanBind b) { return ((int64_t)(b.kind == BIND_ARENA ? 1000 : b.kind) << 32) + b.index; }

/* Buffers by kind and number, so that plans read alike: parameters first, those of the arena last, as they came. */
static void sort_buffers(Planner *p) {
  uint32_t n = p->plan->bufs.n;
  int *order = ARENA_ARRAY(p->arena, int, n + 1), *to = ARENA_ARRAY(p->arena, int, n + 1);
  LoopBuf *bufs = ARENA_ARRAY(p->arena, LoopBuf, n + 1);
  PlanBind *binds = ARENA_ARRAY(p->arena, PlanBind, n + 1);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t k = i;
    for (; k && buffer_order(p->out->binds.at[order[k - 1]]) > buffer_order(p->out->binds.at[i]); k--)
      order[k] = order[k - 1];
    order[k] = (int)i;
  }
  for (uint32_t k = 0; k < n; k++) {
    bufs[k] = p->plan->bufs.at[order[k]];
    binds[k] = p->out->binds.at[order[k]];
    to[order[k]] = (int)k;
  }
  p->plan->nparams = 0;
  for (uint32_t k = 0; k < n; k++) {
    p->plan->bufs.at[k] = bufs[k];
    p->out->binds.at[k] = binds[k];
    p->plan->nparams += binds[k].kind != BIND_ARENA;
  }
  for (Step *s = p->plan->steps; s; s = s->next)
    for (int i = 0; i < s->nviews; i++)
      if (s->views[i].buf >= 0) s->views[i].buf = to[s->views[i].buf];
}

typedef Vec(Store) Stores;

static Stores entry_stores(const Planner *p) {
  Stores out = {0};
  for (uint32_t i = 0; i < p->e->updates.n; i++)
    vec_push(
        p->arena, &out,
        (Store){cell_node(p->g, p->e->updates.at[i].cell), p->e->updates.at[i].value, p->e->updates.at[i].cell, -1});
  for (uint32_t i = 0; i < p->e->inputs.n; i++)
    if (p->e->inputs.at[i].inout && p->e->inputs.at[i].update)
      vec_push(p->arena, &out, (Store){p->e->inputs.at[i].node, p->e->inputs.at[i].update, -1, (int)i});
  return out;
}

/* The buffer for output v of group k: an output of the entry, a cell in place, or the arena. */
static int choose_home(Planner *p, int k, Id v, const Stores *stores, bool *commit) {
  const Graph *g = p->g;
  for (uint32_t i = 0; i < p->e->outputs.n; i++)
    if (p->e->outputs.at[i].node == v)
      return add_buffer(p, arena_printf(p->arena, "o%u", i), BUF_INOUT, graph_dtype(g, v), graph_shape(g, v),
                        graph_rank(g, v), BIND_OUTPUT, (int)i);
  for (uint32_t i = 0; i < stores->n; i++) {
    const Store *s = &stores->at[i];
    if (s->value != v) continue;
    bool copied = false;
    for (uint32_t j = 0; s->old && j < p->e->outputs.n; j++) copied |= p->e->outputs.at[j].node == s->old;
    for (uint32_t j = 0; s->old && j < stores->n; j++) copied |= stores->at[j].value == s->old;
    if (copied || !in_place(p, k, s->old, v)) continue;
    *commit = true;
    return store_buffer(p, s);
  }
  return arena_buffer(p, arena_printf(p->arena, "t%u", v), graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v), k,
                      p->last_use[v]);
}

static int random_buffer(Planner *p) {
  Sym four = sym_int(p->syms, 4);
  int b = bound_buffer(p, BIND_RANDOM, 0);
  p->out->random = true;
  return b >= 0 ? b : add_buffer(p, "rng", BUF_IN, DT_U32, &four, 1, BIND_RANDOM, 0);
}

/* Memory that only kernels know, laid out as parameter `arg` of the kernel says: scratch, or panels made by `prepare`.
 */
static int private_buffer(Planner *p, int k, const Lowered *low, uint32_t arg) {
  const LoopBuf *b = &p->level->module->kernels.at[low->kernel]->bufs.at[arg];
  int to;
  if (low->args.at[arg].kind == ARG_SCRATCH)
    to = arena_buffer(p, arena_printf(p->arena, "s%d_%u", k, arg), b->dtype, b->dim, b->rank, k, k);
  else {
    int index = derived(p, low, arg);
    to = bound_buffer(p, BIND_DERIVED, index);
    if (to < 0)
      to = add_buffer(p, arena_printf(p->arena, "d%d", index), BUF_IN, b->dtype, b->dim, b->rank, BIND_DERIVED, index);
  }
  copy_layout(&p->plan->bufs.at[to], b);
  return to;
}

static int arg_buffer(Planner *p, int k, const Lowered *low, uint32_t arg) {
  const LowArg *a = &low->args.at[arg];
  switch (a->kind) {
  case ARG_NODE: return !a->out && group_leaf(p->g, a->node) ? leaf_buffer(p, a->node) : p->home[a->node];
  case ARG_RANDOM: return random_buffer(p);
  default: return private_buffer(p, k, low, arg);
  }
}

/* Whether group k is an update at a place known at run time that stores over the old value. */
static bool updates_in_place(const Planner *p, int k) {
  Id v = p->out->groups->at.at[k].anchor;
  if (!v || graph_op(p->g, v) != OP_DYNAMIC_UPDATE) return false;
  Id old = graph_in(p->g, v)[0];
  return group_leaf(p->g, old) && p->home[v] == p->home[old];
}

static void plan_group(Planner *p, int k, const Stores *stores) {
  Lowered *low = &p->out->kernels.at[k];
  Kernel *kernel = p->level->module->kernels.at[low->kernel];
  uint32_t n = low->args.n;
  int *bufs = ARENA_ARRAY(p->arena, int, n);
  bool *read = ARENA_ARRAY(p->arena, bool, kernel->bufs.n), *write = ARENA_ARRAY(p->arena, bool, kernel->bufs.n);
  bool *used = ARENA_ARRAY(p->arena, bool, n + 1), *skipped = ARENA_ARRAY(p->arena, bool, low->stages.n + 1),
       commit = false;
  p->position = k;
  for (uint32_t i = 0; i < n; i++) {
    const LowArg *a = &low->args.at[i];
    if (a->kind == ARG_NODE && a->out && p->home[a->node] < 0)
      p->home[a->node] = choose_home(p, k, a->node, stores, &commit);
  }
  for (uint32_t i = 0; i < low->stages.n; i++) {
    const LowStage *s = &low->stages.at[i];
    skipped[i] = s->prepares || (s->copies && updates_in_place(p, k));
    if (skipped[i]) continue;
    loop_uses(kernel, kernel->stages.at[s->stage], read, write);
    for (uint32_t j = 0; j < n; j++) used[j] |= read[j] || write[j];
  }
  for (uint32_t i = 0; i < n; i++)
    bufs[i] = used[i] || low->args.at[i].kind == ARG_PACKED ? arg_buffer(p, k, low, i) : -1;
  for (uint32_t i = 0; i < n; i++) /* one memory under two names: said in the kernel */
    for (uint32_t j = 0; j < n; j++) {
      const LowArg *a = &low->args.at[i];
      if (a->kind == ARG_NODE && a->out && !low->args.at[j].out && bufs[i] >= 0 && bufs[i] == bufs[j])
        kernel->bufs.at[i].inplace = (int)j;
    }
  for (uint32_t i = 0; i < low->stages.n; i++)
    if (!skipped[i]) low->stages.at[i].launch = add_launch(p, low, &low->stages.at[i], bufs, commit);
}

/* Outputs and updates that no kernel stores where they belong are copied at the end, updates last. */
static void plan_copies(Planner *p, const Stores *stores) {
  const Graph *g = p->g;
  p->position = (int)p->out->groups->at.n;
  for (uint32_t i = 0; i < p->e->outputs.n; i++) {
    Id v = p->e->outputs.at[i].node;
    int from = group_leaf(g, v) ? leaf_buffer(p, v) : p->home[v];
    PlanBind b = p->out->binds.at[from];
    if (b.kind == BIND_OUTPUT && b.index == (int)i) continue;
    add_copy(p,
             add_buffer(p, arena_printf(p->arena, "o%u", i), BUF_OUT, graph_dtype(g, v), graph_shape(g, v),
                        graph_rank(g, v), BIND_OUTPUT, (int)i),
             from, false);
  }
  int *from = ARENA_ARRAY(p->arena, int, stores->n + 1);
  for (uint32_t i = 0; i < stores->n; i++) { /* a value that another commit would overwrite waits in the arena */
    Id v = stores->at[i].value;
    from[i] = group_leaf(g, v) ? leaf_buffer(p, v) : p->home[v];
    if (v == stores->at[i].old || !p->updated[v]) continue;
    int wait = arena_buffer(p, arena_printf(p->arena, "w%u", v), graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v),
                            p->position, p->position);
    add_copy(p, wait, from[i], false);
    from[i] = wait;
  }
  for (uint32_t i = 0; i < stores->n; i++) {
    if (stores->at[i].value == stores->at[i].old) continue;
    int to = store_buffer(p, &stores->at[i]);
    if (to != from[i]) add_copy(p, to, from[i], true);
  }
}

static bool output_read(const Planner *p, int buf) {
  for (const Step *s = p->plan->steps; s; s = s->next)
    for (int i = 0; i < s->nviews; i++) {
      if (s->views[i].buf != buf) continue;
      if (s->kind == STEP_COPY ? i == 1 : p->level->module->kernels.at[s->kernel]->bufs.at[i].kind != BUF_OUT)
        return true;
    }
  return false;
}

/* A kernel for each group. */
static bool lower_groups(Planner *p) {
  const Groups *groups = p->out->groups;
  Lowering all = {.ctx = p->g->ctx,
                  .module = p->level->module,
                  .target = p->level->target,
                  .groups = groups,
                  .facts = p->facts,
                  .updated = p->updated,
                  .places = &p->unit->places,
                  .tf32 = p->unit->tf32,
                  .dims = p->e->dims.at,
                  .ndims = p->e->dims.n};
  for (uint32_t k = 0; k < groups->at.n; k++) {
    Lowered low;
    const char *name = arena_printf(p->arena, "%s_%u_%s", p->e->name, k, group_kind_name(groups->at.at[k].kind));
    if (!lower_group(&all, (int)k, name, &low)) return false;
    vec_push(p->arena, &p->out->kernels, low);
  }
  return true;
}

/* What the roots hold is needed after the last launch. */
static void find_last_uses(Planner *p, const Ids *roots) {
  const EntryPlan *out = p->out;
  p->last_use = ARENA_ARRAY(p->arena, int, p->g->node.n);
  for (uint32_t k = 0; k < out->kernels.n; k++)
    for (uint32_t i = 0; i < out->kernels.at[k].args.n; i++) {
      const LowArg *a = &out->kernels.at[k].args.at[i];
      if (a->kind == ARG_NODE) p->last_use[a->node] = (int)k;
    }
  for (uint32_t i = 0; i < roots->n; i++) p->last_use[roots->at[i]] = (int)out->kernels.n;
}

static bool plan_entry(Unit *unit, LevelUnit *lv, const Entry *e, EntryPlan *out) {
  const Graph *g = e->graph;
  Ctx *ctx = g->ctx;
  Planner p = {
      .unit = unit, .level = lv, .out = out, .arena = ctx->arena, .syms = ctx->syms, .g = g, .e = e, .facts = e->facts};
  uint32_t first_kernel = lv->module->kernels.n, first_plan = lv->module->plans.n;
  Ids roots = {0};
  for (uint32_t i = 0; i < e->outputs.n; i++) vec_push(p.arena, &roots, e->outputs.at[i].node);
  Stores stores = entry_stores(&p);
  for (uint32_t i = 0; i < stores.n; i++) vec_push(p.arena, &roots, stores.at[i].value);
  out->groups = pass_fuse(g, roots.at, (int)roots.n, lv->target->threads > 0);
  p.known = ARENA_NEW(p.arena, Answers);
  p.updated = ARENA_ARRAY(p.arena, uint8_t, g->node.n);
  for (uint32_t i = 0; i < stores.n; i++) p.updated[stores.at[i].old] = stores.at[i].old != 0;
  if (!lower_groups(&p)) return false;
  find_last_uses(&p, &roots);
  p.home = ARENA_ARRAY(p.arena, int, g->node.n);
  for (uint32_t v = 0; v < g->node.n; v++) p.home[v] = -1;

  p.plan = out->plan = ARENA_NEW(p.arena, Plan);
  p.plan->name = e->name;
  p.tail = &p.plan->steps;
  for (uint32_t i = 0; i < e->dims.n; i++) vec_push(p.arena, &p.plan->dims, e->dims.at[i]);
  for (uint32_t k = 0; k < out->kernels.n; k++) plan_group(&p, (int)k, &stores);
  plan_copies(&p, &stores);
  for (uint32_t i = 0; i < p.plan->bufs.n; i++) /* an output that no later kernel reads is only stored to */
    if (out->binds.at[i].kind == BIND_OUTPUT && !output_read(&p, (int)i)) p.plan->bufs.at[i].kind = BUF_OUT;
  plan_memory(&p);
  plan_commits(&p);
  if (lv->target->threads) plan_batches(&p);
  plan_barriers(&p);
  sort_buffers(&p);
  vec_push(p.arena, &lv->module->plans, p.plan);
  plan_share(&p, first_kernel, first_plan);
  PlanEntry *pe = ARENA_NEW(p.arena, PlanEntry);
  pe->name = e->name;
  vec_push(p.arena, &pe->variants, (PlanVariant){.plan = e->name});
  vec_push(p.arena, &lv->module->entries, pe);
  return !p.failed;
}

const Entry *plan_init_entry(const Program *program) {
  Ctx *x = program->ctx;
  Entry *e = ARENA_NEW(x->arena, Entry);
  *e = (Entry){.name = "sinter_init", .graph = graph_new(x, NULL), .facts = sym_facts_new(x->arena, x->syms)};
  for (uint32_t i = 0; i < program->cells.n; i++) {
    const Cell *c = &program->cells.at[i];
    Id start;
    if (!c->init) continue;
    if (!graph_inline(e->graph, c->init, NULL, &start)) BUG("the start value of %s", c->name);
    vec_push(x->arena, &e->updates, (Update){.cell = (int)i, .value = start, .loc = c->loc});
  }
  entry_roots(e);
  return e->updates.n ? e : NULL;
}

bool plan_level(Unit *unit, const Target *target, LevelUnit *out) {
  const Program *program = unit->program;
  Ctx *ctx = program->ctx;
  *out = (LevelUnit){.target = target,
                     .module = loop_module_new(ctx),
                     .entries = ARENA_ARRAY(ctx->arena, EntryPlan, program->entries.n)};
  for (uint32_t i = 0; i < program->entries.n; i++) {
    const Entry *e = &program->entries.at[i];
    if (target->threads) e = pass_attention_grad(e);
    if (!e || !plan_entry(unit, out, e, &out->entries[i])) return false;
  }
  return !unit->init || plan_entry(unit, out, unit->init, &out->init);
}
