/* Fusion: starts with a group a node and merges along reads, producers into consumers, where the result is still one loop
 * nest that reads every value where it makes it. Legal are merges that keep the graph of groups without cycles. Nothing is
 * computed twice but free nodes; a value that another group needs as well is stored as one more output. */
#include "group.h"
#include <string.h>

/* Above this many operations an element an epilogue is not unrolled over a register tile: it runs as a kernel of its own. */
#define EPILOGUE_COST 40
/* Up to so many operations an element a prologue is worked out anew for every panel of columns rather than stored. */
#define PROLOGUE_COST 4

const char *group_kind_name(GroupKind k) {
  static const char *const name[] = {"elementwise", "row", "reduce", "gemm", "nest"};
  return name[k];
}

static bool is_move(Op o) { return OP_INFO[o].cls == CLASS_MOVE && o != OP_CONCAT; }

bool group_free(const Graph *g, Id v) {
  Op o = graph_op(g, v);
  if (o == OP_CONSTANT) return !graph_rank(g, v);
  if (o == OP_IOTA || o == OP_DIM || is_move(o) || o == OP_DYNAMIC_SLICE) return true;
  return op_elementwise(o) && graph_at(g, v)->nin == 1 && group_free(g, *graph_in(g, v)) && !graph_rank(g, v) && graph_op(g, *graph_in(g, v)) == OP_DIM;
}

bool group_leaf(const Graph *g, Id v) {
  Op o = graph_op(g, v);
  return o == OP_INPUT || o == OP_CELL || o == OP_DATA || (o == OP_CONSTANT && graph_rank(g, v));
}

/* ---- reads ---------------------------------------------------------------------------------------------------------- */

static Map map_identity(int rank) {
  Map m;
  memset(m.axis, AXIS_ZERO, sizeof m.axis);
  for (int i = 0; i < rank; i++) m.axis[i] = (int8_t)i;
  return m;
}

static Map map_other(void) {
  Map m;
  memset(m.axis, AXIS_OTHER, sizeof m.axis);
  return m;
}

static bool is_one(const Graph *g, Sym s) {
  int64_t k;
  return sym_is_int(g->ctx->syms, s, &k) && k == 1;
}

/* A reshape that only adds or drops axes of size 1: operand axis -> result axis. Others are read through a view of memory. */
static bool reshape_map(const Graph *g, Id v, Map *m) {
  Id x = *graph_in(g, v);
  const Sym *from = graph_shape(g, x), *to = graph_shape(g, v);
  int i = 0, j = 0, n = graph_rank(g, x), r = graph_rank(g, v);
  memset(m->axis, AXIS_ZERO, sizeof m->axis);
  while (i < n || j < r) {
    if (i < n && j < r && from[i] == to[j]) m->axis[i++] = (int8_t)j++;
    else if (i < n && is_one(g, from[i])) m->axis[i++] = AXIS_ZERO;
    else if (j < r && is_one(g, to[j])) j++;
    else return false;
  }
  return true;
}

typedef struct Reads {
  const Graph *g;
  ReadVisit *fn;
  void *ctx;
} Reads;

static void read_at(Reads *r, Id v, Map m);

static void read_operands(Reads *r, Id v, const Map *m) {
  const Graph *g = r->g;
  const Id *in = graph_in(g, v);
  int n, nin = (int)graph_at(g, v)->nin, rank = graph_rank(g, v);
  Map q = map_other();
  switch (graph_op(g, v)) {
  case OP_BROADCAST: {
    const int64_t *axes = graph_attr(g, v, "axes", &n);
    for (int i = 0; i < n; i++) q.axis[i] = m->axis[axes[i]];
    read_at(r, in[0], q);
    break;
  }
  case OP_TRANSPOSE: {
    const int64_t *axes = graph_attr(g, v, "axes", &n);
    for (int i = 0; i < n; i++) q.axis[axes[i]] = m->axis[i];
    read_at(r, in[0], q);
    break;
  }
  case OP_RESHAPE: {
    Map t;
    if (reshape_map(g, v, &t))
      for (int i = 0; i < graph_rank(g, in[0]); i++) q.axis[i] = t.axis[i] < 0 ? AXIS_ZERO : m->axis[t.axis[i]];
    read_at(r, in[0], q);
    break;
  }
  case OP_SLICE: {
    const int64_t *starts = graph_attr(g, v, "starts", &n), *steps = graph_attr(g, v, "steps", &n);
    int64_t k;
    for (int i = 0; i < rank; i++)
      if (sym_is_int(g->ctx->syms, (Sym)starts[i], &k) && k == 0 && steps[i] == 1) q.axis[i] = m->axis[i];
    read_at(r, in[0], q);
    break;
  }
  case OP_DYNAMIC_SLICE: {
    const int64_t *axes = graph_attr(g, v, "axes", &n);
    for (int i = 0; i < rank; i++) q.axis[i] = m->axis[i];
    for (int i = 0; i < n; i++) q.axis[axes[i]] = AXIS_OTHER;
    read_at(r, in[0], q);
    for (int i = 1; i < nin; i++) read_at(r, in[i], map_identity(0));
    break;
  }
  case OP_GATHER: {
    int axis = (int)graph_attr_int(g, v, "axis"), k = nin - 1, ri = graph_rank(g, in[1]);
    for (int i = 0; i < graph_rank(g, in[0]); i++) q.axis[i] = i < axis ? m->axis[i] : i < axis + k ? AXIS_OTHER : m->axis[i - k + ri];
    for (int j = 0; j < k; j++) {
      Map t = map_identity(0);
      for (int i = 0; i < ri; i++) t.axis[i] = m->axis[axis + i];
      if (graph_op(g, in[1 + j]) == OP_IOTA) q.axis[axis + j] = t.axis[graph_attr_int(g, in[1 + j], "axis")];
      read_at(r, in[1 + j], t);
    }
    read_at(r, in[0], q);
    break;
  }
  case OP_PAD:
  case OP_REVERSE: read_at(r, in[0], q); break;
  default:
    for (int i = 0; i < nin; i++) {
      if (op_elementwise(graph_op(g, v))) q = graph_rank(g, in[i]) ? *m : map_identity(0);
      read_at(r, in[i], q);
    }
  }
}

static void read_at(Reads *r, Id v, Map m) {
  for (int i = 0; i < graph_rank(r->g, v); i++)
    if (is_one(r->g, graph_shape(r->g, v)[i])) m.axis[i] = AXIS_ZERO;
  if (group_free(r->g, v)) read_operands(r, v, &m);
  else r->fn(r->ctx, v, &m);
}

void group_reads(const Graph *g, Id c, ReadVisit *fn, void *ctx) {
  Reads r = {g, fn, ctx};
  OpClass cls = OP_INFO[graph_op(g, c)].cls;
  Map m = map_identity(cls == CLASS_REDUCE || cls == CLASS_ARG ? graph_rank(g, *graph_in(g, c)) : graph_rank(g, c));
  if (cls == CLASS_REDUCE || cls == CLASS_ARG) read_at(&r, *graph_in(g, c), m);
  else if (op_elementwise(graph_op(g, c)) || graph_op(g, c) == OP_GATHER || group_free(g, c)) read_operands(&r, c, &m);
  else {
    for (uint32_t i = 0; i < graph_at(g, c)->nin; i++) read_at(&r, graph_in(g, c)[i], map_other());
  }
}

/* ---- merging -------------------------------------------------------------------------------------------------------- */

typedef Vec(Id) Ids;

typedef struct Fuse {
  const Graph *g;
  Arena *arena;
  Groups *out;
  Vec(Group) group;   /* by number of first member; merged ones have no members */
  int *of;
  Map *pos;
  uint8_t *wanted;    /* outputs of the entry */
  Ids *users;     /* groupable readers of a node */
  uint32_t *seen, turn;
  const char *why;
} Fuse;

static double node_cost(const Graph *g, Id v) {
  switch (graph_op(g, v)) {
  case OP_RANDOM: return 120;
  case OP_EXP: case OP_LOG: case OP_TANH: case OP_SIGMOID: case OP_EXPM1: case OP_LOG1P: return 14;
  case OP_ERF: case OP_SIN: case OP_COS: return 24;
  case OP_POW: return 40;
  case OP_GATHER: return 8;
  case OP_DIV: case OP_SQRT: case OP_RSQRT: case OP_REM: return 4;
  default: return 1;
  }
}

static bool same_shape(const Sym *a, int ra, const Sym *b, int rb) { return ra == rb && !memcmp(a, b, (size_t)ra * sizeof *a); }

/* Where a value of this shape sits in the space: its own axes if it fills it, else its rows. */
static bool place(const Graph *g, Id v, const Sym *space, int rank, Map *pos) {
  const Sym *s = graph_shape(g, v);
  int n = graph_rank(g, v), k = 0;
  memset(pos->axis, AXIS_ZERO, sizeof pos->axis);
  if (same_shape(s, n, space, rank)) {
    for (int i = 0; i < n; i++) pos->axis[i] = is_one(g, s[i]) ? AXIS_ZERO : (int8_t)i;
    return true;
  }
  for (int i = 0; i < n; i++) {
    if (is_one(g, s[i])) continue;
    while (k < rank - 1 && space[k] != s[i]) k++;
    if (k >= rank - 1) return false;
    pos->axis[i] = (int8_t)k++;
  }
  for (int i = 0, j = 0; i < rank - 1; i++) { /* every row axis that is not 1 must be there */
    if (is_one(g, space[i])) continue;
    while (j < n && pos->axis[j] < 0) j++;
    if (j >= n || pos->axis[j++] != i) return false;
  }
  return true;
}

static bool row_op(const Graph *g, Id v) {
  Op o = graph_op(g, v);
  if (!graph_at(g, v)->nin) return false;
  int n, rank = graph_rank(g, *graph_in(g, v));
  if (OP_INFO[o].cls == CLASS_REDUCE) return rank && graph_attr(g, v, "axes", &n)[0] == rank - 1 && n == 1;
  return OP_INFO[o].cls == CLASS_ARG && graph_attr_int(g, v, "axis") == rank - 1;
}

static bool full(const Graph *g, Id v, const Group *x) { return same_shape(graph_shape(g, v), graph_rank(g, v), x->space, x->rank); }

typedef struct CheckRead {
  Fuse *f;
  const Group *to; /* the merged group under trial */
  Id reader;
  int a, b;        /* the two groups that become one */
  bool ok;
} CheckRead;

/* Members of a product's group that are made after it; the others are its prologue, worked out at any place. */
static bool is_epilogue(const Fuse *f, const Group *gemm, Id v) {
  return v > gemm->anchor && full(f->g, v, gemm);
}

/* A read inside the merged group must find the value where it is made; a value of the row may be read at any place of it. */
static void check_read(void *ctx, Id p, const Map *m) {
  CheckRead *c = ctx;
  Fuse *f = c->f;
  if (!c->ok || (f->of[p] != c->a && f->of[p] != c->b) || f->of[p] < 0) return;
  if (c->to->kind == GROUP_GEMM && !is_epilogue(f, c->to, c->reader)) return;
  int last = c->to->rank - 1;
  Map own = map_identity(MAX_RANK), pos = own, rp = own;
  if (c->to->kind != GROUP_REDUCE) { /* there prologue and epilogue each read at their own places */
    pos = f->pos[p];
    if (!row_op(f->g, c->reader)) rp = f->pos[c->reader]; /* a row reduction reads its operand at full positions */
  }
  for (int i = 0; i < graph_rank(f->g, p); i++) {
    int at = m->axis[i] >= 0 ? rp.axis[m->axis[i]] : m->axis[i];
    if (at == pos.axis[i] || (at == AXIS_ZERO && is_one(f->g, graph_shape(f->g, p)[i]))) continue;
    if (c->to->kind == GROUP_ROW && pos.axis[i] == last && at < 0) continue; /* another element of the row */
    f->why = "it reads the value at another place than where it is made";
    c->ok = false;
  }
}

/* Whether group `to` is reached from group `from` through at least one other group: then they cannot become one. */
static bool reaches(Fuse *f, int from, int to, bool direct) {
  for (uint32_t i = 0; i < f->group.at[from].members.n; i++) {
    Id v = f->group.at[from].members.at[i];
    for (uint32_t k = 0; k < f->users[v].n; k++) {
      int u = f->of[f->users[v].at[k]];
      if (u == from || (u == to && direct)) continue;
      if (u == to) return true;
      if (f->seen[u] == f->turn) continue;
      f->seen[u] = f->turn;
      if (reaches(f, u, to, false)) return true;
    }
  }
  return false;
}

/* Whether p is what the left side of the product c reads, through free nodes. */
static bool feeds_left(const Graph *g, Id v, Id p) {
  if (v == p) return true;
  return group_free(g, v) && OP_INFO[graph_op(g, v)].cls == CLASS_MOVE && feeds_left(g, *graph_in(g, v), p);
}

/* Cheap element-wise values that only the left side of a product needs ride along as its prologue. */
static bool prologue(Fuse *f, const Group *p, const Group *c) {
  if (p->kind != GROUP_ELEM || p->cost > PROLOGUE_COST || !feeds_left(f->g, graph_in(f->g, c->anchor)[0], vec_last(&p->members))) return false;
  for (uint32_t i = 0; i < p->members.n; i++)
    if (f->users[p->members.at[i]].n != 1 || f->wanted[p->members.at[i]]) return false;
  return true;
}

/* The group that both would be, or false with f->why. `a` feeds `b`. */
static bool joined(Fuse *f, int a, int b, Group *out) {
  const Graph *g = f->g;
  const Group *p = &f->group.at[a], *c = &f->group.at[b];
  f->why = NULL;
  *out = p->kind == GROUP_GEMM || p->kind == GROUP_REDUCE ? *p : c->kind == GROUP_REDUCE ? *c
         : p->kind == GROUP_ROW && (c->kind != GROUP_ROW || p->rank >= c->rank) ? *p
         : c->kind == GROUP_ROW ? *c : p->rank >= c->rank ? *p : *c;
  if (p->kind == GROUP_NEST || c->kind == GROUP_NEST) f->why = "a plain loop nest stands alone";
  else if (c->kind == GROUP_GEMM) {
    *out = *c;
    if (!prologue(f, p, c)) f->why = "an operand of a product is read many times: it is stored once";
    return !f->why;
  }
  else if (p->kind == GROUP_GEMM && c->kind != GROUP_ELEM) f->why = "a reduction does not ride on a product's tile";
  else if (p->kind == GROUP_GEMM && p->cost + c->cost > EPILOGUE_COST) f->why = "the epilogue would be too long for a register tile";
  else if (p->kind == GROUP_REDUCE && c->kind != GROUP_ELEM) f->why = "a reduction over these axes ends its loop nest";
  else if (c->kind == GROUP_REDUCE && p->kind != GROUP_ELEM) f->why = "the loop nests differ";
  else if (c->kind == GROUP_REDUCE) {
    for (uint32_t i = 0; i < p->members.n; i++)
      if (f->users[p->members.at[i]].n != 1 || f->wanted[p->members.at[i]]) f->why = "the value is needed elsewhere too: it is stored once";
    if (!same_shape(p->space, p->rank, c->space, c->rank)) f->why = "the shapes differ";
  } else if (p->kind == GROUP_REDUCE) {
    if (!same_shape(c->space, c->rank, graph_shape(g, p->anchor), graph_rank(g, p->anchor))) f->why = "the shapes differ";
  } else
    for (int s = 0; s < 2; s++) {
      const Group *x = s ? c : p;
      Map pos;
      for (uint32_t i = 0; !f->why && i < x->members.n; i++) {
        Id v = x->members.at[i];
        if (x->kind == GROUP_GEMM && !is_epilogue(f, x, v)) continue;
        bool fits = place(g, v, out->space, out->rank, &pos);
        if (!fits || (out->kind != GROUP_ROW && !full(g, v, out)) || (row_op(g, v) && !same_shape(x->space, x->rank, out->space, out->rank))) f->why = "the shapes differ";
      }
    }
  out->cost = p->cost + c->cost;
  return !f->why;
}

static void try_merge(Fuse *f, int a, int b, bool sibling) {
  Group to;
  Id producer = vec_last(&f->group.at[a].members), consumer = f->group.at[b].members.at[0];
  bool ok = joined(f, a, b, &to);
  f->turn++;
  if (ok && (reaches(f, a, b, true) || (f->turn++, reaches(f, b, a, true)))) {
    ok = false;
    f->why = "a kernel between them needs the one and feeds the other";
  }
  uint32_t n = 0, all = f->group.at[a].members.n + f->group.at[b].members.n;
  Id *member = ARENA_ARRAY(f->arena, Id, all);
  Map *saved = ARENA_ARRAY(f->arena, Map, all);
  for (int s = 0; s < 2; s++)
    for (uint32_t i = 0; i < f->group.at[s ? b : a].members.n; i++) member[n++] = f->group.at[s ? b : a].members.at[i];
  for (uint32_t i = 0; ok && i < all; i++) {
    saved[i] = f->pos[member[i]];
    if (to.kind != GROUP_GEMM || is_epilogue(f, &to, member[i])) place(f->g, member[i], to.space, to.rank, &f->pos[member[i]]);
  }
  bool fits = ok;
  for (uint32_t i = 0; fits && i < all; i++) {
    CheckRead c = {f, &to, member[i], a, b, true};
    group_reads(f->g, member[i], check_read, &c);
    fits = c.ok;
  }
  vec_push(f->arena, &f->out->notes, (FuseNote){producer, consumer, fits, !fits ? f->why : sibling ? "both read the same values: one loop nest" : "read where it is made: one loop nest"});
  if (!fits) {
    for (uint32_t i = 0; ok && i < all; i++) f->pos[member[i]] = saved[i];
    return;
  }
  for (uint32_t i = 1; i < all; i++) /* back into node order */
    for (uint32_t j = i; j && member[j] < member[j - 1]; j--) {
      Id t = member[j];
      member[j] = member[j - 1];
      member[j - 1] = t;
    }
  memset(&to.members, 0, sizeof to.members);
  for (uint32_t i = 0; i < all; i++) {
    vec_push(f->arena, &to.members, member[i]);
    f->of[member[i]] = a;
  }
  f->group.at[a] = to;
  f->group.at[b].members.n = 0;
}

/* ---- the pass -------------------------------------------------------------------------------------------------------- */

static void add_user(void *ctx, Id p, const Map *m) {
  Fuse *f = ((void **)ctx)[0];
  Id c = *(Id *)((void **)ctx)[1];
  (void)m;
  for (uint32_t i = 0; i < f->users[p].n; i++)
    if (f->users[p].at[i] == c) return;
  vec_push(f->arena, &f->users[p], c);
}

static void start_group(Fuse *f, Id v) {
  const Graph *g = f->g;
  OpClass cls = OP_INFO[graph_op(g, v)].cls;
  bool inner = cls == CLASS_REDUCE || cls == CLASS_ARG;
  Id shaped = inner ? *graph_in(g, v) : v;
  Group x = {.rank = graph_rank(g, shaped), .cost = node_cost(g, v)};
  if (x.rank) memcpy(x.space, graph_shape(g, shaped), (size_t)x.rank * sizeof(Sym));
  x.kind = row_op(g, v) ? GROUP_ROW : cls == CLASS_REDUCE ? GROUP_REDUCE : cls == CLASS_DOT ? GROUP_GEMM
           : op_elementwise(graph_op(g, v)) || graph_op(g, v) == OP_RANDOM || graph_op(g, v) == OP_GATHER || group_free(g, v) ? GROUP_ELEM : GROUP_NEST;
  x.anchor = x.kind == GROUP_ELEM || x.kind == GROUP_ROW ? 0 : v;
  vec_push(f->arena, &x.members, v);
  f->of[v] = (int)f->group.n;
  if (!place(g, v, x.space, x.rank, &f->pos[v])) f->pos[v] = map_identity(graph_rank(g, v));
  vec_push(f->arena, &f->group, x);
}

typedef struct Merge {
  Fuse *f;
  Id reader;
} Merge;

static void merge_read(void *ctx, Id p, const Map *m) {
  Merge *x = ctx;
  (void)m;
  if (x->f->of[p] >= 0 && x->f->of[p] != x->f->of[x->reader]) try_merge(x->f, x->f->of[p], x->f->of[x->reader], false);
}

/* Groups over the same rows that read the same stored value, and do not feed each other, read it once together. */
static void merge_siblings(Fuse *f, Id read) {
  for (uint32_t i = 0; i < f->users[read].n; i++)
    for (uint32_t j = i + 1; j < f->users[read].n; j++) {
      int a = f->of[f->users[read].at[i]], b = f->of[f->users[read].at[j]];
      if (a == b) continue;
      const Group *x = &f->group.at[a], *y = &f->group.at[b];
      if (x->kind == GROUP_ROW && y->kind == GROUP_ROW && same_shape(x->space, x->rank, y->space, y->rank) &&
          same_shape(x->space, x->rank, graph_shape(f->g, read), graph_rank(f->g, read)))
        try_merge(f, a < b ? a : b, a < b ? b : a, true);
    }
}

/* Appends group k after the groups that it reads from. */
static void launch_order(Fuse *f, int k, int *number, const Ids *reads) {
  if (number[k] >= 0) return;
  number[k] = INT32_MAX; /* on the way: a cycle would be a mistake of reaches() */
  for (uint32_t i = 0; i < f->group.at[k].members.n; i++)
    for (uint32_t j = 0; j < reads[f->group.at[k].members.at[i]].n; j++) {
      int p = f->of[reads[f->group.at[k].members.at[i]].at[j]];
      if (p < 0 || p == k) continue;
      if (number[p] == INT32_MAX) BUG("a cycle of groups");
      launch_order(f, p, number, reads);
    }
  number[k] = (int)f->out->at.n;
  vec_push(f->arena, &f->out->at, f->group.at[k]);
}

Groups *pass_fuse(const Graph *g, const Id *outputs, int n) {
  Arena *arena = g->ctx->arena;
  Groups *out = ARENA_NEW(arena, Groups);
  uint32_t count = g->node.n;
  Fuse f = {.g = g, .arena = arena, .out = out, .of = ARENA_ARRAY(arena, int, count), .pos = ARENA_ARRAY(arena, Map, count),
            .wanted = ARENA_ARRAY(arena, uint8_t, count), .users = arena_alloc(arena, count * sizeof(*f.users)), .seen = ARENA_ARRAY(arena, uint32_t, count)};
  Id *order = ARENA_ARRAY(arena, Id, count);
  int reached = graph_reach(g, outputs, n, order);
  for (uint32_t i = 0; i < count; i++) f.of[i] = -1;
  for (int i = 0; i < n; i++) f.wanted[outputs[i]] = 1;
  for (int i = 0; i < reached; i++)
    if (!group_leaf(g, order[i]) && (f.wanted[order[i]] || !group_free(g, order[i]))) start_group(&f, order[i]);
  for (int i = 0; i < reached; i++)
    if (f.of[order[i]] >= 0) group_reads(g, order[i], add_user, (void *[]){&f, &order[i]});
  for (int i = 0; i < reached; i++)
    if (f.of[order[i]] >= 0) group_reads(g, order[i], merge_read, &(Merge){&f, order[i]});

  for (int i = 0; i < reached; i++) merge_siblings(&f, order[i]);

  Ids *reads = arena_alloc(arena, count * sizeof(Ids));
  for (uint32_t p = 0; p < count; p++)
    for (uint32_t k = 0; k < f.users[p].n; k++) vec_push(arena, &reads[f.users[p].at[k]], (Id)p);
  int *number = ARENA_ARRAY(arena, int, f.group.n);
  for (uint32_t k = 0; k < f.group.n; k++) number[k] = -1;
  for (uint32_t k = 0; k < f.group.n; k++)
    if (f.group.at[k].members.n) launch_order(&f, (int)k, number, reads);
  out->graph = g;
  out->pos = f.pos;
  out->of = f.of;
  out->stored = ARENA_ARRAY(arena, uint8_t, count);
  for (uint32_t v = 0; v < count; v++) {
    out->stored[v] = group_leaf(g, v) || (f.of[v] >= 0 && f.wanted[v]);
    for (uint32_t k = 0; k < f.users[v].n; k++) out->stored[v] |= f.of[f.users[v].at[k]] != f.of[v];
  }
  for (uint32_t v = 0; v < count; v++)
    if (f.of[v] >= 0) {
      f.of[v] = number[f.of[v]];
      if (out->stored[v]) vec_push(arena, &out->at.at[f.of[v]].outputs, v);
    }
  return out;
}
