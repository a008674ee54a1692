/* Plans: fuse, lower group by group, give every stored value its memory, put barriers where launches meet in memory, and
 * commit updates last. */
#include "plan.h"
#include <string.h>

typedef struct Slot { /* a piece of the arena, for values whose lives are disjoint */
  Sym size;
  int free_from;
} Slot;

typedef struct Planner {
  Unit *unit;
  LevelUnit *level;
  EntryPlan *out;
  Arena *arena;
  SymTab *syms;
  const Graph *g;
  const Entry *e;
  const SymFacts *facts;
  Plan *plan;
  Step **tail;
  int *home;         /* node -> the buffer of the plan that holds it, -1: none yet */
  int *last_use;     /* node -> last launch position that reads it */
  uint8_t *updated;  /* node -> a CELL (or the input of an inout) that this entry writes */
  Vec(Slot) slots;
  Vec(int) slot_of;  /* plan buffer -> slot, -1 */
  Vec(int) touched;  /* plan buffers accessed since the last barrier: index * 2 + stored */
} Planner;

/* ---- what a stage uses -------------------------------------------------------------------------------------------------- */

static void uses_ex(const Kernel *k, Ex e, bool *read) {
  if (!e) return;
  const Expr *x = ex_at(k, e);
  if (x->op == OP_LOAD && (int)x->ref < k->nparams) read[x->ref] = true;
  for (int i = 0; i < x->nin; i++) uses_ex(k, k->arg.at[x->in + (uint32_t)i], read);
  uses_ex(k, x->mask, read);
  uses_ex(k, x->other, read);
}

static void uses_block(const Kernel *k, const Stmt *s, bool *read, bool *write) {
  for (; s; s = s->next) {
    uses_ex(k, s->value, read);
    uses_ex(k, s->mask, read);
    uses_ex(k, s->lo, read);
    uses_ex(k, s->hi, read);
    for (int i = 0; i < s->nindex; i++) uses_ex(k, s->index[i], read);
    if (s->kind == STMT_STORE && (int)s->ref < k->nparams) write[s->ref] = true;
    uses_block(k, s->body, read, write);
    uses_block(k, s->other, read, write);
  }
}

/* ---- buffers ------------------------------------------------------------------------------------------------------------ */

static int add_buffer(Planner *p, const char *name, BufKind kind, DType d, const Sym *shape, int rank, BindKind bind, int index) {
  LoopBuf b = {.name = name, .kind = kind, .dtype = d, .rank = rank, .inplace = -1};
  if (rank) memcpy(b.dim, shape, (size_t)rank * sizeof *shape);
  vec_push(p->arena, &p->plan->bufs, b);
  vec_push(p->arena, &p->out->binds, (PlanBind){bind, index});
  vec_push(p->arena, &p->slot_of, -1);
  return (int)p->plan->bufs.n - 1;
}

static Sym bytes_of(const Planner *p, DType d, const Sym *shape, int rank) {
  return sym_mul(p->syms, sym_product(p->syms, shape, rank), sym_int(p->syms, (int64_t)dtype_size(d)));
}

/* A slot for a value that lives from `from` to `to`: one of its size that is free, else a free one (it grows), else new. */
static int take_slot(Planner *p, Sym bytes, int from, int to) {
  Sym size = sym_round_up(p->syms, bytes, sym_int(p->syms, 64));
  int best = -1;
  for (uint32_t i = 0; i < p->slots.n; i++) {
    if (p->slots.at[i].free_from > from) continue;
    if (sym_same(p->facts, p->slots.at[i].size, size)) {
      best = (int)i;
      break;
    }
    if (sym_decide(p->facts, SYM_LE, size, p->slots.at[i].size) == 1 || (best < 0 && sym_decide(p->facts, SYM_LE, p->slots.at[i].size, size) == 1)) best = (int)i;
  }
  if (best < 0) {
    vec_push(p->arena, &p->slots, (Slot){size, 0});
    best = (int)p->slots.n - 1;
  }
  Slot *s = &p->slots.at[best];
  if (sym_decide(p->facts, SYM_LE, size, s->size) != 1) s->size = size;
  s->free_from = to + 1;
  return best;
}

static int arena_buffer(Planner *p, const char *name, DType d, const Sym *shape, int rank, int from, int to) {
  int slot = take_slot(p, bytes_of(p, d, shape, rank), from, to);
  int b = add_buffer(p, name, BUF_INOUT, d, shape, rank, BIND_ARENA, -1);
  p->slot_of.at[b] = slot;
  return b;
}

static void scratch_bytes(const LoopBuf *b, Sym *shape, SymTab *t) { /* a panel's axis is padded to its width */
  memcpy(shape, b->dim, sizeof b->dim);
  if (b->layout == LAYOUT_PANEL) shape[b->panel_axis] = sym_round_up(t, shape[b->panel_axis], sym_int(t, b->width));
}

static int constant(Planner *p, Id v) {
  int n;
  const int64_t *w = graph_attr(p->g, v, "value", &n);
  DType d = graph_dtype(p->g, v);
  size_t size = dtype_size(d);
  char *data = arena_alloc(p->arena, size * (size_t)n);
  for (int i = 0; i < n; i++) {
    double x;
    memcpy(&x, &w[i], sizeof x);
    float f = (float)x;
    int32_t k = (int32_t)w[i];
    bool b = w[i] != 0;
    const void *from = d == DT_F32 ? (const void *)&f : d == DT_F64 ? (const void *)&x : d == DT_I32 ? (const void *)&k : d == DT_BOOL ? (const void *)&b : (const void *)&w[i];
    memcpy(data + (size_t)i * size, from, size);
  }
  vec_push(p->arena, &p->unit->consts, (PlanConst){data, size * (uint64_t)n});
  return (int)p->unit->consts.n - 1;
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
  return p->home[v] = add_buffer(p, name, inout ? BUF_INOUT : BUF_IN, graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v), kind, index);
}

/* ---- updates -------------------------------------------------------------------------------------------------------------- */

typedef struct Same { /* whether `reader` reads `old` only where the new value of this element is made */
  Id old, reader, value;
  const Graph *g;
  bool same;
} Same;

static void check_same(void *ctx, Id read, const Map *m) {
  Same *s = ctx;
  if (read != s->old) return;
  s->same &= op_elementwise(graph_op(s->g, s->reader)) && graph_rank(s->g, s->reader) == graph_rank(s->g, s->value);
  for (int i = 0; i < graph_rank(s->g, read); i++) s->same &= m->axis[i] == i || m->axis[i] == AXIS_ZERO;
}

static bool reads_same(const Graph *g, Id reader, Id old, Id value) {
  Same s = {old, reader, value, g, true};
  group_reads(g, reader, check_same, &s);
  return s.same;
}

/* Whether group k may store the new value over the old one: all others have read it before, and nothing can fail later. */
static bool in_place(Planner *p, int k, Id old, Id value, bool copied_later) {
  const Groups *gs = p->out->groups;
  bool dynamic = gs->at.at[k].kind == GROUP_NEST && graph_op(p->g, value) == OP_DYNAMIC_UPDATE && graph_in(p->g, value)[0] == old;
  if (copied_later) return false;
  for (uint32_t i = (uint32_t)k; i < gs->at.n; i++)
    if (p->out->kernels.at[i].fails && !(dynamic && i == (uint32_t)k)) return false; /* all tasks of an update fail alike */
  for (uint32_t i = (uint32_t)k; i < gs->at.n; i++)
    for (uint32_t j = 0; j < p->out->kernels.at[i].args.n; j++) {
      const LowArg *a = &p->out->kernels.at[i].args.at[j];
      if (!old || a->kind == ARG_RANDOM || a->node != old || a->out) continue;
      if (i > (uint32_t)k || gs->at.at[k].kind == GROUP_ROW) return false; /* a later pass over a row would read what is stored */
      for (uint32_t m = 0; !dynamic && m < gs->at.at[k].members.n; m++)
        if (!reads_same(p->g, gs->at.at[k].members.at[m], old, value)) return false;
    }
  for (uint32_t i = 1; dynamic && i < graph_at(p->g, value)->nin; i++) { /* update and starts must not read what is being stored */
    Id x = graph_in(p->g, value)[i];
    if (x == old || (group_free(p->g, x) && !reads_same(p->g, x, old, value))) return false;
  }
  return true;
}

/* ---- steps ---------------------------------------------------------------------------------------------------------------- */

static Step *add_step(Planner *p, StepKind kind) {
  Step *s = ARENA_NEW(p->arena, Step);
  s->kind = kind;
  *p->tail = s;
  p->tail = &s->next;
  return s;
}

/* The same memory: one slot, one binding, or one buffer. */
static bool same_memory(const Planner *p, int a, int b) {
  if (a == b) return true;
  if (p->slot_of.at[a] >= 0 || p->slot_of.at[b] >= 0) return p->slot_of.at[a] == p->slot_of.at[b];
  PlanBind x = p->out->binds.at[a], y = p->out->binds.at[b];
  return x.kind == y.kind && x.index == y.index;
}

static void touch(Planner *p, const int *bufs, const bool *stored, int n) {
  bool clash = false;
  for (int i = 0; i < n; i++)
    for (uint32_t j = 0; j < p->touched.n; j++)
      clash |= (stored[i] || (p->touched.at[j] & 1)) && same_memory(p, bufs[i], p->touched.at[j] / 2);
  if (clash) {
    add_step(p, STEP_BARRIER);
    p->touched.n = 0;
  }
  for (int i = 0; i < n; i++) vec_push(p->arena, &p->touched, bufs[i] * 2 + stored[i]);
}

static void add_copy(Planner *p, int to, int from, bool commit) {
  touch(p, (int[]){to, from}, (bool[]){true, false}, 2);
  Step *s = add_step(p, STEP_COPY);
  s->commit = commit;
  s->nviews = 2;
  s->views = ARENA_ARRAY(p->arena, View, 2);
  s->views[0].buf = to;
  s->views[1].buf = from;
}

static void add_launch(Planner *p, const Lowered *low, const LowStage *stage, const int *bufs, bool commit) {
  const Kernel *k = p->level->module->kernels.at[low->kernel];
  bool *read = ARENA_ARRAY(p->arena, bool, k->nparams), *write = ARENA_ARRAY(p->arena, bool, k->nparams);
  uses_block(k, k->stages.at[stage->stage]->body, read, write);
  int *used = ARENA_ARRAY(p->arena, int, k->nparams), n = 0;
  bool *stored = ARENA_ARRAY(p->arena, bool, k->nparams);
  for (int i = 0; i < k->nparams; i++)
    if (read[i] || write[i]) used[n] = bufs[i], stored[n++] = write[i];
  touch(p, used, stored, n);
  Step *s = add_step(p, STEP_LAUNCH);
  s->kernel = low->kernel;
  s->stage = stage->stage;
  s->serial = stage->serial;
  s->commit = commit;
  s->work = stage->work;
  s->ndims = (int)k->dims.n;
  s->dims = ARENA_ARRAY(p->arena, Sym, k->dims.n);
  for (uint32_t i = 0; i < k->dims.n; i++) {
    s->dims[i] = sym_int(p->syms, k->dims.at[i].lo);
    for (uint32_t j = 0; j < p->plan->dims.n; j++)
      if (p->plan->dims.at[j].name == k->dims.at[i].name) s->dims[i] = k->dims.at[i].var;
  }
  s->nviews = k->nparams;
  s->views = ARENA_ARRAY(p->arena, View, k->nparams);
  for (int i = 0; i < k->nparams; i++) s->views[i].buf = read[i] || write[i] ? bufs[i] : -1;
}

/* ---- prepare -------------------------------------------------------------------------------------------------------------- */

static int derived(Planner *p, const Lowered *low, uint32_t arg) {
  LevelUnit *lv = p->level;
  const LowArg *a = &low->args.at[arg];
  int cell = (int)graph_attr_int(p->g, a->node, "cell");
  for (uint32_t i = 0; i < lv->derived.n; i++)
    if (lv->derived.at[i].cell == cell && lv->derived.at[i].kind == a->layout) return (int)i;
  const Kernel *k = lv->module->kernels.at[low->kernel];
  const Cell *c = &p->unit->program->cells.at[cell];
  Derived d = {.name = c->name, .kind = a->layout, .cell = cell};
  Sym shape[LOOP_RANK];
  int64_t bytes;
  scratch_bytes(&k->bufs.at[arg], shape, p->syms);
  if (!sym_is_int(p->syms, bytes_of(p, k->bufs.at[arg].dtype, shape, k->bufs.at[arg].rank), &bytes)) BUG("a packed parameter of unknown size");
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
  memset(&q.slot_of, 0, sizeof q.slot_of);
  memset(&q.touched, 0, sizeof q.touched);
  int *bufs = ARENA_ARRAY(p->arena, int, k->nparams);
  for (int i = 0; i < k->nparams; i++) {
    bufs[i] = -1;
    if (low->args.at[i].kind == ARG_NODE && low->args.at[i].node == a->node && !low->args.at[i].out) bufs[i] = add_buffer(&q, "w", BUF_IN, c->dtype, k->bufs.at[i].dim, k->bufs.at[i].rank, BIND_CELL, cell);
    if (i == (int)arg) {
      bufs[i] = add_buffer(&q, "panels", BUF_OUT, k->bufs.at[i].dtype, k->bufs.at[i].dim, k->bufs.at[i].rank, BIND_DERIVED, index);
      LoopBuf *b = &plan->bufs.at[bufs[i]];
      b->layout = k->bufs.at[i].layout;
      b->panel_axis = k->bufs.at[i].panel_axis;
      b->width = k->bufs.at[i].width;
      b->align = k->bufs.at[i].align;
    }
  }
  plan->nparams = (int)plan->bufs.n;
  for (uint32_t i = 0; i < low->stages.n; i++)
    if (low->stages.at[i].prepares) add_launch(&q, low, &low->stages.at[i], bufs, false);
  vec_push(p->arena, &lv->module->plans, plan);
  lv->derived.at[index].plan = made;
  return index;
}

/* ---- one entry ------------------------------------------------------------------------------------------------------------ */

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
  if (s->input >= 0) return leaf_buffer(p, s->old);
  if (s->old) return leaf_buffer(p, s->old);
  const Cell *c = &p->unit->program->cells.at[s->cell];
  for (uint32_t i = 0; i < p->out->binds.n; i++)
    if (p->out->binds.at[i].kind == BIND_CELL && p->out->binds.at[i].index == s->cell) return (int)i;
  return add_buffer(p, arena_printf(p->arena, "c%d", s->cell), BUF_INOUT, c->dtype, c->shape, c->rank, BIND_CELL, s->cell);
}

static void plan_offsets(Planner *p) {
  Sym at = sym_int(p->syms, 0);
  Sym *offset = ARENA_ARRAY(p->arena, Sym, p->slots.n + 1);
  for (uint32_t i = 0; i < p->slots.n; i++) {
    offset[i] = at;
    at = sym_add(p->syms, at, p->slots.at[i].size);
  }
  for (uint32_t i = 0; i < p->plan->bufs.n; i++)
    if (p->slot_of.at[i] >= 0) p->plan->bufs.at[i].at = offset[p->slot_of.at[i]];
  p->out->arena = at;
}

/* Parameters come first in a plan: the buffers in the arena move behind them. */
static void params_first(Planner *p) {
  uint32_t n = p->plan->bufs.n, k = 0;
  int *to = ARENA_ARRAY(p->arena, int, n + 1);
  LoopBuf *bufs = ARENA_ARRAY(p->arena, LoopBuf, n + 1);
  PlanBind *binds = ARENA_ARRAY(p->arena, PlanBind, n + 1);
  for (int arena = 0; arena < 2; arena++)
    for (uint32_t i = 0; i < n; i++)
      if ((p->out->binds.at[i].kind == BIND_ARENA) == arena) {
        bufs[k] = p->plan->bufs.at[i];
        binds[k] = p->out->binds.at[i];
        to[i] = (int)k++;
      }
  p->plan->nparams = 0;
  for (uint32_t i = 0; i < n; i++) {
    p->plan->bufs.at[i] = bufs[i];
    p->out->binds.at[i] = binds[i];
    p->plan->nparams += binds[i].kind != BIND_ARENA;
  }
  for (Step *s = p->plan->steps; s; s = s->next)
    for (int i = 0; i < s->nviews; i++)
      if (s->views[i].buf >= 0) s->views[i].buf = to[s->views[i].buf];
}

typedef Vec(Store) Stores;

static Stores entry_stores(const Planner *p) {
  Stores out = {0};
  for (uint32_t i = 0; i < p->e->updates.n; i++)
    vec_push(p->arena, &out, (Store){cell_node(p->g, p->e->updates.at[i].cell), p->e->updates.at[i].value, p->e->updates.at[i].cell, -1});
  for (uint32_t i = 0; i < p->e->inputs.n; i++)
    if (p->e->inputs.at[i].inout && p->e->inputs.at[i].update) vec_push(p->arena, &out, (Store){p->e->inputs.at[i].node, p->e->inputs.at[i].update, -1, (int)i});
  return out;
}

/* The buffer for output v of group k: an output of the entry, a cell in place, or the arena. */
static int choose_home(Planner *p, int k, Id v, const Stores *stores, bool *commit) {
  const Graph *g = p->g;
  for (uint32_t i = 0; i < p->e->outputs.n; i++)
    if (p->e->outputs.at[i].node == v)
      return add_buffer(p, arena_printf(p->arena, "o%u", i), BUF_INOUT, graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v), BIND_OUTPUT, (int)i);
  for (uint32_t i = 0; i < stores->n; i++) {
    const Store *s = &stores->at[i];
    if (s->value != v) continue;
    bool copied = false;
    for (uint32_t j = 0; s->old && j < p->e->outputs.n; j++) copied |= p->e->outputs.at[j].node == s->old;
    for (uint32_t j = 0; s->old && j < stores->n; j++) copied |= stores->at[j].value == s->old;
    if (!in_place(p, k, s->old, v, copied)) continue;
    *commit = true;
    return store_buffer(p, s);
  }
  return arena_buffer(p, arena_printf(p->arena, "t%u", v), graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v), k, p->last_use[v]);
}

static void plan_group(Planner *p, int k, const Stores *stores) {
  const Graph *g = p->g;
  Lowered *low = &p->out->kernels.at[k];
  Kernel *kernel = p->level->module->kernels.at[low->kernel];
  int *bufs = ARENA_ARRAY(p->arena, int, low->args.n);
  bool commit = false, dynamic_in_place = false;
  for (uint32_t i = 0; i < low->args.n; i++) {
    const LowArg *a = &low->args.at[i];
    const LoopBuf *b = &kernel->bufs.at[i];
    if (a->kind == ARG_NODE && !a->out) bufs[i] = group_leaf(g, a->node) ? leaf_buffer(p, a->node) : p->home[a->node];
    else if (a->kind == ARG_NODE) {
      if (p->home[a->node] < 0) p->home[a->node] = choose_home(p, k, a->node, stores, &commit);
      bufs[i] = p->home[a->node];
    } else if (a->kind == ARG_RANDOM) {
      Sym four = sym_int(p->syms, 4);
      bufs[i] = -1;
      for (uint32_t j = 0; j < p->out->binds.n; j++)
        if (p->out->binds.at[j].kind == BIND_RANDOM) bufs[i] = (int)j;
      if (bufs[i] < 0) bufs[i] = add_buffer(p, "rng", BUF_IN, DT_U32, &four, 1, BIND_RANDOM, 0);
      p->out->random = true;
    } else {
      Sym shape[LOOP_RANK];
      scratch_bytes(b, shape, p->syms);
      if (a->kind == ARG_SCRATCH) bufs[i] = arena_buffer(p, arena_printf(p->arena, "s%d_%u", k, i), b->dtype, shape, b->rank, k, k);
      else {
        int index = derived(p, low, i);
        bufs[i] = add_buffer(p, arena_printf(p->arena, "d%d_%u", k, i), BUF_IN, b->dtype, shape, b->rank, BIND_DERIVED, index);
      }
      LoopBuf *to = &p->plan->bufs.at[bufs[i]];
      memcpy(to->dim, b->dim, sizeof to->dim);
      to->layout = b->layout;
      to->panel_axis = b->panel_axis;
      to->width = b->width;
      to->align = b->align;
    }
  }
  for (uint32_t i = 0; i < low->args.n; i++)  /* one memory under two names: said in the kernel */
    for (uint32_t j = 0; j < low->args.n; j++)
      if (low->args.at[i].kind == ARG_NODE && low->args.at[i].out && !low->args.at[j].out && bufs[i] == bufs[j]) kernel->bufs.at[i].inplace = (int)j;
  if (p->out->groups->at.at[k].kind == GROUP_NEST && graph_op(g, p->out->groups->at.at[k].anchor) == OP_DYNAMIC_UPDATE) {
    Id v = p->out->groups->at.at[k].anchor, x = graph_in(g, v)[0];
    dynamic_in_place = group_leaf(g, x) && p->home[v] == p->home[x];
  }
  for (uint32_t i = 0; i < low->stages.n; i++) {
    const LowStage *s = &low->stages.at[i];
    if (s->prepares || (s->copies && dynamic_in_place)) continue;
    add_launch(p, low, s, bufs, commit);
  }
  p->out->fails |= low->fails;
}

/* Outputs and updates that no kernel stores where they belong are copied at the end, updates last. */
static void plan_copies(Planner *p, const Stores *stores) {
  const Graph *g = p->g;
  for (uint32_t i = 0; i < p->e->outputs.n; i++) {
    Id v = p->e->outputs.at[i].node;
    int from = group_leaf(g, v) ? leaf_buffer(p, v) : p->home[v];
    PlanBind b = p->out->binds.at[from];
    if (b.kind == BIND_OUTPUT && b.index == (int)i) continue;
    add_copy(p, add_buffer(p, arena_printf(p->arena, "o%u", i), BUF_OUT, graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v), BIND_OUTPUT, (int)i), from, false);
  }
  int end = (int)p->out->groups->at.n;
  int *from = ARENA_ARRAY(p->arena, int, stores->n + 1);
  for (uint32_t i = 0; i < stores->n; i++) { /* a value that another commit would overwrite waits in the arena */
    Id v = stores->at[i].value;
    from[i] = group_leaf(g, v) ? leaf_buffer(p, v) : p->home[v];
    if (v == stores->at[i].old || !p->updated[v]) continue;
    int wait = arena_buffer(p, arena_printf(p->arena, "w%u", v), graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v), end, end);
    add_copy(p, wait, from[i], false);
    from[i] = wait;
  }
  for (uint32_t i = 0; i < stores->n; i++) {
    if (stores->at[i].value == stores->at[i].old) continue;
    int to = store_buffer(p, &stores->at[i]);
    if (!same_memory(p, to, from[i])) add_copy(p, to, from[i], true);
  }
}

/* The most bytes of values (not scratch) alive at one launch: no plan can use less. */
static Sym lower_bound(const Planner *p) {
  const Groups *gs = p->out->groups;
  Sym most = sym_int(p->syms, 0);
  for (uint32_t k = 0; k < gs->at.n; k++) {
    Sym sum = sym_int(p->syms, 0);
    for (uint32_t i = 0; i <= k; i++)
      for (uint32_t j = 0; j < gs->at.at[i].outputs.n; j++) {
        Id v = gs->at.at[i].outputs.at[j];
        if (p->out->binds.at[p->home[v]].kind != BIND_ARENA || p->last_use[v] < (int)k) continue;
        sum = sym_add(p->syms, sum, bytes_of(p, graph_dtype(p->g, v), graph_shape(p->g, v), graph_rank(p->g, v)));
      }
    if (sym_decide(p->facts, SYM_LE, sum, most) != 1) most = sym_decide(p->facts, SYM_LE, most, sum) == 1 ? sum : sym_op(p->syms, SYM_MAX, most, sum);
  }
  return most;
}

static bool output_read(const Planner *p, int buf) {
  for (const Step *s = p->plan->steps; s; s = s->next)
    for (int i = 0; i < s->nviews; i++) {
      if (s->views[i].buf != buf) continue;
      if (s->kind == STEP_COPY ? i == 1 : p->level->module->kernels.at[s->kernel]->bufs.at[i].kind != BUF_OUT) return true;
    }
  return false;
}

static bool plan_entry(Unit *unit, LevelUnit *lv, const Entry *e, EntryPlan *out) {
  const Graph *g = e->graph;
  Ctx *ctx = g->ctx;
  Planner p = {.unit = unit, .level = lv, .out = out, .arena = ctx->arena, .syms = ctx->syms, .g = g, .e = e, .facts = e->facts};
  Vec(Id) roots = {0};
  for (uint32_t i = 0; i < e->outputs.n; i++) vec_push(p.arena, &roots, e->outputs.at[i].node);
  Stores stores = entry_stores(&p);
  for (uint32_t i = 0; i < stores.n; i++) vec_push(p.arena, &roots, stores.at[i].value);
  out->groups = pass_fuse(g, roots.at, (int)roots.n);
  p.updated = ARENA_ARRAY(p.arena, uint8_t, g->node.n);
  for (uint32_t i = 0; i < stores.n; i++) p.updated[stores.at[i].old] = stores.at[i].old != 0;

  Lowering all = {.ctx = ctx, .module = lv->module, .target = lv->target, .groups = out->groups, .facts = e->facts, .updated = p.updated,
                  .places = &unit->places, .dims = e->dims.at, .ndims = e->dims.n};
  for (uint32_t k = 0; k < out->groups->at.n; k++) {
    Lowered low;
    if (!lower_group(&all, (int)k, arena_printf(p.arena, "%s_%u_%s", e->name, k, group_kind_name(out->groups->at.at[k].kind)), &low)) return false;
    vec_push(p.arena, &out->kernels, low);
  }
  p.last_use = ARENA_ARRAY(p.arena, int, g->node.n);
  for (uint32_t k = 0; k < out->kernels.n; k++)
    for (uint32_t i = 0; i < out->kernels.at[k].args.n; i++)
      if (out->kernels.at[k].args.at[i].kind == ARG_NODE) p.last_use[out->kernels.at[k].args.at[i].node] = (int)k;
  for (uint32_t i = 0; i < roots.n; i++) p.last_use[roots.at[i]] = (int)out->groups->at.n;
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
  plan_offsets(&p);
  out->lower_bound = lower_bound(&p);
  params_first(&p);
  vec_push(p.arena, &lv->module->plans, p.plan);
  PlanEntry *pe = ARENA_NEW(p.arena, PlanEntry);
  pe->name = e->name;
  vec_push(p.arena, &pe->variants, (PlanVariant){.plan = e->name});
  vec_push(p.arena, &lv->module->entries, pe);
  return true;
}

Graph *plan_init_graph(const Program *program, int *cells, int *n) {
  Graph *g = NULL;
  *n = 0;
  for (uint32_t i = 0; i < program->cells.n; i++) {
    Id out;
    if (!program->cells.at[i].init) continue;
    if (!g) g = graph_new(program->ctx, NULL);
    if (!graph_inline(g, program->cells.at[i].init, NULL, &out)) BUG("the start value of %s", program->cells.at[i].name);
    vec_push(program->ctx->arena, &g->output, out);
    cells[(*n)++] = (int)i;
  }
  return g;
}

bool plan_level(Unit *unit, const Target *target, LevelUnit *out) {
  const Program *program = unit->program;
  Ctx *ctx = program->ctx;
  *out = (LevelUnit){.target = target, .module = loop_module_new(ctx), .entries = ARENA_ARRAY(ctx->arena, EntryPlan, program->entries.n)};
  for (uint32_t i = 0; i < program->entries.n; i++)
    if (!plan_entry(unit, out, &program->entries.at[i], &out->entries[i])) return false;
  return !unit->init || plan_entry(unit, out, unit->init, &out->init);
}
