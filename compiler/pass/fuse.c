/* Fusion: starts with a group a node and merges along reads, producers into consumers, where the result is still one
 * loop nest that reads every value where it makes it. Legal are merges that keep the graph of groups without cycles.
 * Nothing is computed twice but free nodes; a value that another group needs as well is stored as one more output. */
#include "group.h"
#include <string.h>

/* Above this many operations an element an epilogue is not unrolled over a register tile: it runs as a kernel of its
 * own. */
#define EPILOGUE_COST 40
/* Up to so many operations an element a prologue is worked out anew for every panel of columns rather than stored. */
#define PROLOGUE_COST 4
/* So many reductions of rows are one kernel: each keeps a register, and every pass reads the row again. */
#define ROW_REDUCTIONS 8
/* So many rows, or columns, are worth a second stage, which adds up what the tiles of a product have summed. */
#define SUMMED_ROWS    128
#define SUMMED_COLUMNS 64
/* So many nodes are enough for one kernel: the strategies walk them recursively. */
#define GROUP_NODES 256
/* A value made of numbers, iota and sizes by at most so many nodes is worked out anew by each reader. */
#define GENERATED_NODES 8
/* After so many movements in a row the value is stored, so that no read goes arbitrarily deep. */
#define FREE_MOVES 32

const char *group_kind_name(GroupKind k) {
  static const char *const name[] = {"elementwise", "row",       "reduce",         "gemm",
                                     "conv",        "attention", "attention_grad", "nest"};
  return name[k];
}

bool group_move(Op o) { return (OP_INFO[o].cls == CLASS_MOVE && o != OP_CONCAT) || o == OP_DYNAMIC_SLICE; }

bool group_widens(const Graph *g, Id v) {
  return graph_op(g, v) == OP_CONVERT && graph_dtype(g, v) == DT_F32 && dtype_is_half(graph_dtype(g, *graph_in(g, v)));
}

static bool is_move(const Graph *g, Id v) { return group_move(graph_op(g, v)) || group_widens(g, v); }

static double node_cost(const Graph *g, Id v) {
  switch (graph_op(g, v)) {
  case OP_RANDOM: return 120;
  case OP_EXP:
  case OP_LOG:
  case OP_TANH:
  case OP_SIGMOID:
  case OP_EXPM1:
  case OP_LOG1P: return 14;
  case OP_ERF: return 24;
  case OP_SIN:
  case OP_COS:
  case OP_POW: return 100; /* with the reduction of large arguments, or two words of logarithm */
  case OP_GATHER:
  case OP_SCATTER_ADD: return 8;
  case OP_DIV:
  case OP_SQRT:
  case OP_RSQRT:
  case OP_REM: return 4;
  default: return 1;
  }
}

/* Whether v comes from numbers, iota and sizes alone, by a few cheap operations: a mask, a position, 1 / B. */
static bool generated(const Graph *g, Id v, int *budget) {
  Op o = graph_op(g, v);
  if (--*budget < 0) return false;
  if (o == OP_CONSTANT) return !graph_rank(g, v);
  if (o == OP_IOTA || o == OP_DIM) return true;
  if (!group_move(o) && !(op_elementwise(o) && node_cost(g, v) <= (graph_rank(g, v) ? 1 : 4))) return false;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++)
    if (!generated(g, graph_in(g, v)[i], budget)) return false;
  return true;
}

bool group_free(const Graph *g, Id v) {
  int budget = GENERATED_NODES, moves = 0;
  for (Id x = v; is_move(g, x); x = *graph_in(g, x)) moves++;
  return moves ? moves % FREE_MOVES != 0 : generated(g, v, &budget);
}

bool group_leaf(const Graph *g, Id v) {
  Op o = graph_op(g, v);
  return o == OP_INPUT || o == OP_CELL || o == OP_DATA || (o == OP_CONSTANT && graph_rank(g, v));
}

static bool is_one(const Graph *g, Sym s) {
  int64_t k;
  return sym_is_int(g->ctx->syms, s, &k) && k == 1;
}

bool group_one_hot(const Graph *g, Id v) {
  if (graph_op(g, v) != OP_SCATTER_ADD) return false;
  const Id *in = graph_in(g, v);
  int m = (int)graph_at(g, v)->nin - 2, axis = (int)graph_attr_int(g, v, "axis"), ri = graph_rank(g, in[1]);
  if (ri != m - 1 && !(ri == m && is_one(g, graph_shape(g, in[1])[m - 1]))) return false;
  for (int j = 0; j < m - 1; j++)
    if (graph_op(g, in[1 + j]) != OP_IOTA || graph_attr_int(g, in[1 + j], "axis") != j ||
        graph_shape(g, in[1])[j] != graph_shape(g, v)[axis + j])
      return false;
  return true;
}

/* Whether any element of v can be worked out alone. */
static bool by_element(const Graph *g, Id v) {
  Op o = graph_op(g, v);
  return op_elementwise(o) || group_move(o) || o == OP_RANDOM || o == OP_GATHER || group_one_hot(g, v) ||
         group_free(g, v);
}

/* ---- reads ---- */

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

/* A reshape that only adds or drops axes of size 1: operand axis -> result axis. Others are read through a view of
 * memory. */
static bool reshape_map(const Graph *g, Id v, Map *m) {
  Id x = *graph_in(g, v);
  const Sym *from = graph_shape(g, x), *to = graph_shape(g, v);
  int i = 0, j = 0, n = graph_rank(g, x), r = graph_rank(g, v);
  memset(m->axis, AXIS_ZERO, sizeof m->axis);
  while (i < n || j < r) {
    if (i < n && j < r && from[i] == to[j])
      m->axis[i++] = (int8_t)j++;
    else if (i < n && is_one(g, from[i]))
      m->axis[i++] = AXIS_ZERO;
    else if (j < r && is_one(g, to[j]))
      j++;
    else
      return false;
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
    for (int i = 0; i < graph_rank(g, in[0]); i++)
      q.axis[i] = i < axis ? m->axis[i] : i < axis + k ? AXIS_OTHER : m->axis[i - k + ri];
    for (int j = 0; j < k; j++) {
      Map t = map_identity(0);
      for (int i = 0; i < ri; i++) t.axis[i] = m->axis[axis + i];
      if (graph_op(g, in[1 + j]) == OP_IOTA) q.axis[axis + j] = t.axis[graph_attr_int(g, in[1 + j], "axis")];
      read_at(r, in[1 + j], t);
    }
    read_at(r, in[0], q);
    break;
  }
  case OP_SCATTER_ADD: { /* group_one_hot */
    int axis = (int)graph_attr_int(g, v, "axis"), k = nin - 2, ri = graph_rank(g, in[1]);
    Map t = map_identity(0);
    for (int i = 0; i < k - 1; i++) t.axis[i] = m->axis[axis + i];
    for (int i = 0; i < graph_rank(g, in[k + 1]); i++)
      q.axis[i] = i < axis ? m->axis[i] : i < axis + ri ? t.axis[i - axis] : m->axis[i - ri + k];
    read_at(r, in[0], *m);
    read_at(r, in[k], t);
    read_at(r, in[k + 1], q);
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
  if (group_free(r->g, v))
    read_operands(r, v, &m);
  else
    r->fn(r->ctx, v, &m);
}

void group_reads(const Graph *g, Id c, ReadVisit *fn, void *ctx) {
  Reads r = {g, fn, ctx};
  OpClass cls = OP_INFO[graph_op(g, c)].cls;
  Map m = map_identity(cls == CLASS_REDUCE || cls == CLASS_ARG ? graph_rank(g, *graph_in(g, c)) : graph_rank(g, c));
  if (cls == CLASS_REDUCE || cls == CLASS_ARG)
    read_at(&r, *graph_in(g, c), m);
  else if (by_element(g, c))
    read_operands(&r, c, &m);
  else {
    for (uint32_t i = 0; i < graph_at(g, c)->nin; i++) read_at(&r, graph_in(g, c)[i], map_other());
  }
}

/* ---- merging ---- */

typedef struct Fuse {
  const Graph *g;
  Arena *arena;
  Groups *out;
  Vec(Group) group; /* by number of first member; merged ones have no members */
  int *of;
  Map *pos;
  uint8_t *wanted;                  /* outputs of the entry */
  Ids *users;                       /* groupable readers of a node */
  uint32_t *seen, *seen_node, turn; /* by group, by node */
  bool tiles_sum;
  const char *why; /* of the last trial; NULL: they were merged */
  Arena *scratch;
} Fuse;

static bool same_shape(const Sym *a, int ra, const Sym *b, int rb) {
  return ra == rb && !memcmp(a, b, (size_t)ra * sizeof *a);
}

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

static bool full(const Graph *g, Id v, const Group *x) {
  return same_shape(graph_shape(g, v), graph_rank(g, v), x->space, x->rank);
}

typedef struct CheckRead {
  Fuse *f;
  const Group *to; /* the merged group under trial */
  Id reader;
  int a, b; /* the two groups that become one */
  bool ok;
} CheckRead;

/* Groups whose result is a tile, with its epilogue. */
static bool is_tile(const Group *x) { return group_product(x) || group_attends(x); }

/* Members of a product's group that are made after it; the others are its prologue, worked out at any place. */
static bool is_epilogue(const Fuse *f, const Group *gemm, Id v) { return v > gemm->anchor && full(f->g, v, gemm); }

/* The others that come after the product: a sum of it, and what is made of that alone. */
static bool is_rider(const Fuse *f, const Group *x, Id v) {
  return x->kind == GROUP_GEMM && v > x->anchor && !full(f->g, v, x);
}

/* The sum among the members; 0: there is none. */
static Id rider_sum(const Fuse *f, const Group *x) {
  for (uint32_t i = 0; i < x->members.n; i++)
    if (is_rider(f, x, x->members.at[i])) return x->members.at[i];
  return 0;
}

/* The product of the extents of axes; -1: not known, many. */
static int64_t extents(const Graph *g, const Sym *shape, int n) {
  int64_t all = 1, extent;
  for (int i = 0; i < n; i++) {
    if (!sym_is_int(g->ctx->syms, shape[i], &extent)) return -1;
    all *= extent;
  }
  return all;
}

/* Whether what needs v reads values of the product again: then a row is better read once, for both. */
static bool row_again(Fuse *f, const Group *x, Id v) {
  Vec(Id) todo = {0};
  f->turn++;
  vec_push(f->scratch, &todo, v);
  while (todo.n) {
    const Ids *users = &f->users[todo.at[--todo.n]];
    for (uint32_t i = 0; i < users->n; i++) {
      if (f->seen_node[users->at[i]] == f->turn) continue;
      f->seen_node[users->at[i]] = f->turn;
      vec_push(f->scratch, &todo, users->at[i]);
    }
  }
  for (uint32_t i = 0; i < x->members.n; i++) {
    const Ids *users = &f->users[x->members.at[i]];
    for (uint32_t k = 0; k < users->n; k++)
      if (f->seen_node[users->at[k]] == f->turn) return true;
  }
  return false;
}

typedef enum { NO_SUM, OF_ROWS, ALONG_ROWS } TileSum;

/* Whether v sums all rows or all columns, in f32, of the values of a product of two matrices, and enough of them. */
static TileSum tile_sum(const Fuse *f, const Group *x, Id v) {
  const Graph *g = f->g;
  int n, batch, contracted;
  if (!f->tiles_sum || x->kind != GROUP_GEMM || graph_op(g, v) != OP_REDUCE_SUM || graph_dtype(g, v) != DT_F32 ||
      graph_dtype(g, x->anchor) != DT_F32)
    return NO_SUM;
  const int64_t *axis = graph_attr(g, v, "axes", &n);
  graph_attr(g, x->anchor, "batch", &batch);
  graph_attr(g, x->anchor, "contract", &contracted);
  int rows = graph_rank(g, graph_in(g, x->anchor)[0]) - contracted / 2, first = axis[0] == 0 ? 0 : rows;
  if (batch || n == x->rank || n != (first ? x->rank - rows : rows)) return NO_SUM;
  for (int i = 0; i < n; i++)
    if (axis[i] != first + i) return NO_SUM;
  int64_t summed = extents(g, x->space + first, n);
  if (summed >= 0 && summed < (first ? SUMMED_COLUMNS : SUMMED_ROWS)) return NO_SUM;
  return first ? ALONG_ROWS : OF_ROWS;
}

/* A rider's read: the sum's of an epilogue value, the others' of riders, all where it is made. */
static bool rider_read(const Fuse *f, const Group *to, Id reader, Id read, const Map *m) {
  const Graph *g = f->g;
  for (int i = 0; i < graph_rank(g, read); i++)
    if (m->axis[i] != i && !(m->axis[i] == AXIS_ZERO && is_one(g, graph_shape(g, read)[i]))) return false;
  return OP_INFO[graph_op(g, reader)].cls == CLASS_REDUCE ? read >= to->anchor && full(g, read, to)
                                                          : is_rider(f, to, read);
}

/* A read inside the merged group must find the value where it is made; a value of the row may be read at any place of
 * it. */
static void check_read(void *ctx, Id p, const Map *m) {
  CheckRead *c = ctx;
  Fuse *f = c->f;
  if (!c->ok || (f->of[p] != c->a && f->of[p] != c->b) || f->of[p] < 0) return;
  if (is_rider(f, c->to, c->reader)) {
    c->ok = rider_read(f, c->to, c->reader, p, m);
    if (!c->ok) f->why = "it reads the value at another place than where it is made";
    return;
  }
  if (is_tile(c->to) && !is_epilogue(f, c->to, c->reader)) return;
  if (is_rider(f, c->to, p)) {
    f->why = "it needs the whole sum, of which a tile has a part";
    c->ok = false;
    return;
  }
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

/* Whether group `to` is reached from group `from` through another group: then they cannot become one. Nodes are in
 * order, groups are not: a way may lead through a late member of a group and on from an early one. */
static bool reaches(Fuse *f, int from, int to) {
  Vec(int) todo = {0};
  f->turn++;
  vec_push(f->scratch, &todo, from);
  while (todo.n) {
    int x = todo.at[--todo.n];
    for (uint32_t i = 0; i < f->group.at[x].members.n; i++) {
      const Ids *users = &f->users[f->group.at[x].members.at[i]];
      for (uint32_t k = 0; k < users->n; k++) {
        int u = f->of[users->at[k]];
        if (u == x || (u == to && x == from)) continue;
        if (u == to) return true;
        if (f->seen[u] == f->turn) continue;
        f->seen[u] = f->turn;
        vec_push(f->scratch, &todo, u);
      }
    }
  }
  return false;
}

/* Whether p is what the left side of the product c reads, through free nodes. */
static bool feeds_left(const Graph *g, Id v, Id p) {
  while (v != p && group_free(g, v) && (OP_INFO[graph_op(g, v)].cls == CLASS_MOVE || group_widens(g, v)))
    v = *graph_in(g, v);
  return v == p;
}

/* Whether nothing but groups a and b needs the members of a; but for numbers of rows, which the gradient of attention
 * needs again. */
static bool feeds_only(const Fuse *f, int a, int b) {
  const Group *x = &f->group.at[a];
  for (uint32_t i = 0; i < x->members.n; i++) {
    Id v = x->members.at[i];
    if (f->wanted[v]) return false;
    for (uint32_t k = 0; k < f->users[v].n; k++) {
      Id u = f->users[v].at[k];
      if (f->of[u] != a && f->of[u] != b && (full(f->g, v, x) || !group_copied(f->g, u))) return false;
    }
  }
  return true;
}

static int row_reductions(const Fuse *f, const Group *x) {
  int n = 0;
  for (uint32_t i = 0; i < x->members.n; i++) n += row_op(f->g, x->members.at[i]);
  return n;
}

/* Whether all members of x can sit in the space of `to`. */
static bool places_fit(const Fuse *f, const Group *x, const Group *to) {
  const Graph *g = f->g;
  bool same = same_shape(x->space, x->rank, to->space, to->rank);
  Map pos;
  for (uint32_t i = 0; i < x->members.n; i++) {
    Id v = x->members.at[i];
    if (is_tile(x) && !is_epilogue(f, x, v)) continue;
    if (!place(g, v, to->space, to->rank, &pos) || (to->kind != GROUP_ROW && !full(g, v, to)) ||
        (row_op(g, v) && !same))
      return false;
  }
  return true;
}

static bool scalar_sum(const Graph *g, Id v) { return graph_op(g, v) == OP_ADD && !graph_rank(g, v); }

/* Whether v adds up scalars, three or more: in the kernels that make them each would wait for the one before. */
static bool long_sum(const Fuse *f, Id v) {
  const Graph *g = f->g;
  if (!scalar_sum(g, v)) return false;
  bool more = scalar_sum(g, graph_in(g, v)[0]) || scalar_sum(g, graph_in(g, v)[1]);
  for (uint32_t i = 0; i < f->users[v].n; i++) more |= scalar_sum(g, f->users[v].at[i]);
  return more;
}

/* Whose loop nest both would share: the product's, else the reduction's, else the rows', else the larger space's. */
static Group host(const Group *p, const Group *c) {
  if (group_product(c)) return *c;
  if (is_tile(p) || p->kind == GROUP_REDUCE) return *p;
  if (c->kind == GROUP_REDUCE) return *c;
  if ((p->kind == GROUP_ROW) != (c->kind == GROUP_ROW)) return p->kind == GROUP_ROW ? *p : *c;
  return p->rank >= c->rank ? *p : *c;
}

/* Whether v is stored whatever is merged: the entry needs it, or what takes no part in a nest of elements. */
static bool stored_anyway(const Fuse *f, Id v) {
  bool stored = f->wanted[v];
  for (uint32_t i = 0; i < f->users[v].n; i++) {
    Id u = f->users[v].at[i];
    stored |= !by_element(f->g, u) && OP_INFO[graph_op(f->g, u)].cls != CLASS_REDUCE;
  }
  return stored;
}

/* Whether a tile, group a, would store v for one reduction alone, which can as well read what v is made of: the tile
 * stores that anyway. */
static bool better_reduced(Fuse *f, int a, Id v) {
  const Group *p = &f->group.at[a];
  if (f->wanted[v] || f->users[v].n != 1) return false;
  Id u = *f->users[v].at;
  if (OP_INFO[graph_op(f->g, u)].cls != CLASS_REDUCE || *graph_in(f->g, u) != v) return false;
  TileSum rides = tile_sum(f, p, u);
  if (rides && !rider_sum(f, p) && !(rides == ALONG_ROWS && row_again(f, p, u))) return false;
  for (uint32_t i = 0; i < p->members.n; i++) {
    const Ids *users = &f->users[p->members.at[i]];
    for (uint32_t k = 0; k < users->n; k++)
      if (users->at[k] == v && !stored_anyway(f, p->members.at[i])) return false;
  }
  return true;
}

/* What speaks against making groups a and b, a feeding b, one group with the nest of `to`; NULL: nothing. */
static const char *why_not(Fuse *f, int a, int b, const Group *to) {
  const Group *p = &f->group.at[a], *c = &f->group.at[b];
  if (p->kind == GROUP_NEST || c->kind == GROUP_NEST) return "a plain loop nest stands alone";
  if (group_attends(c)) return "an operand of attention is read many times: it is stored once";
  if (p->members.n + c->members.n > GROUP_NODES) return "the kernel would be too long";
  if (to->kind == GROUP_ROW && row_reductions(f, p) + row_reductions(f, c) > ROW_REDUCTIONS)
    return "the row would need too many passes";
  if (c->kind == GROUP_CONV) return "an operand of a convolution is read many times: it is stored once";
  if (c->kind == GROUP_GEMM) { /* cheap element-wise values that only the left side needs ride along as its prologue */
    bool left = feeds_left(f->g, graph_in(f->g, c->anchor)[0], vec_last(&p->members));
    if (p->kind != GROUP_ELEM || p->cost > PROLOGUE_COST || !left)
      return "an operand of a product is read many times: it is stored once";
    return feeds_only(f, a, b) ? NULL : "the value is needed elsewhere too: it is stored once";
  }
  Id sum = rider_sum(f, p);
  if (sum && c->kind == GROUP_ELEM && same_shape(c->space, c->rank, graph_shape(f->g, sum), graph_rank(f->g, sum)))
    return NULL;
  bool reduces = (c->kind == GROUP_REDUCE || c->kind == GROUP_ROW) && c->members.n == 1;
  TileSum rides = reduces ? tile_sum(f, p, vec_last(&c->members)) : NO_SUM;
  if (rides && sum) return "the tiles of a product sum one value";
  if (rides == ALONG_ROWS && row_again(f, p, vec_last(&c->members)))
    return "what needs the sum reads the product again: a kernel of rows reads it once for both";
  if (is_tile(p) && c->kind != GROUP_ELEM && !rides) return "a reduction does not ride on a product's tile";
  if (is_tile(p) && (group_product(p) ? p->cost : 0) + c->cost > EPILOGUE_COST)
    return "the epilogue would be too long for a register tile";
  if (rides) return NULL;
  if (p->rank && !c->rank && long_sum(f, vec_last(&c->members)))
    return "a sum of many scalars waits for all of them: it stands alone";
  if (p->kind == GROUP_REDUCE && c->kind != GROUP_ELEM) return "a reduction over these axes ends its loop nest";
  if (c->kind == GROUP_REDUCE && p->kind != GROUP_ELEM) return "the loop nests differ";
  if (c->kind == GROUP_REDUCE && !feeds_only(f, a, b)) return "the value is needed elsewhere too: it is stored once";
  bool fit;
  if (c->kind == GROUP_REDUCE)
    fit = same_shape(p->space, p->rank, c->space, c->rank);
  else if (p->kind == GROUP_REDUCE)
    fit = same_shape(c->space, c->rank, graph_shape(f->g, p->anchor), graph_rank(f->g, p->anchor));
  else
    fit = places_fit(f, p, to) && places_fit(f, c, to);
  return fit ? NULL : "the shapes differ";
}

static void add_note(Fuse *f, FuseNote x) {
  for (uint32_t i = 0; i < f->out->notes.n; i++) { /* a node may read another in several ways */
    const FuseNote *n = &f->out->notes.at[i];
    if (n->producer == x.producer && n->consumer == x.consumer && n->why == x.why) return;
  }
  vec_push(f->arena, &f->out->notes, x);
}

/* Merges two lists of members, both in node order. */
static Ids merged(Fuse *f, const Group *a, const Group *b) {
  Ids out = {0};
  for (uint32_t i = 0, j = 0; i < a->members.n || j < b->members.n;) {
    bool left = j == b->members.n || (i < a->members.n && a->members.at[i] < b->members.at[j]);
    vec_push(f->arena, &out, left ? a->members.at[i++] : b->members.at[j++]);
  }
  return out;
}

/* Whether each read inside of the merged group finds the value where it is made; else f->why, and places as they were.
 */
static bool reads_fit(Fuse *f, const Group *to, int a, int b) {
  uint32_t n = to->members.n;
  Map *saved = ARENA_ARRAY(f->scratch, Map, n);
  bool fits = true;
  for (uint32_t i = 0; i < n; i++) {
    Id v = to->members.at[i];
    saved[i] = f->pos[v];
    if (!is_tile(to) || is_epilogue(f, to, v)) place(f->g, v, to->space, to->rank, &f->pos[v]);
  }
  for (uint32_t i = 0; fits && i < n; i++) {
    CheckRead c = {f, to, to->members.at[i], a, b, true};
    group_reads(f->g, to->members.at[i], check_read, &c);
    fits = c.ok;
  }
  for (uint32_t i = 0; !fits && i < n; i++) f->pos[to->members.at[i]] = saved[i];
  return fits;
}

/* Makes groups a and b one if they can be, and notes why or why not: for `consumer`, which reads `producer`, or of
 * siblings reads what it reads. */
static void try_merge(Fuse *f, int a, int b, Id producer, Id consumer, bool sibling) {
  Group to = host(&f->group.at[a], &f->group.at[b]);
  f->why = why_not(f, a, b, &to);
  if (!f->why && (reaches(f, a, b) || reaches(f, b, a)))
    f->why = "a kernel between them needs the one and feeds the other";
  if (!f->why && is_tile(&f->group.at[a]) && f->group.at[b].members.n == 1 && better_reduced(f, a, consumer))
    f->why = "a reduction alone reads it: it is made there, of what is stored anyway";
  if (!f->why) {
    bool rider = is_rider(f, &to, vec_last(&f->group.at[b].members));
    if (!group_attends(&to) && !rider) /* whose cost is a score's; of a sum there are few elements */
      to.cost = f->group.at[a].cost + f->group.at[b].cost;
    to.members = merged(f, &f->group.at[a], &f->group.at[b]);
    reads_fit(f, &to, a, b);
  }
  const char *yes = sibling                       ? "both read the same values: one loop nest"
                    : !is_rider(f, &to, consumer) ? "read where it is made: one loop nest"
                    : consumer == rider_sum(f, &to)
                        ? "each tile of the product has a part of the sum, a second stage adds these up"
                        : "read where the sum is made: one loop nest";
  add_note(f, (FuseNote){producer, consumer, !f->why, sibling, f->why ? f->why : yes});
  if (f->why) return;
  for (uint32_t i = 0; i < to.members.n; i++) f->of[to.members.at[i]] = a;
  f->group.at[a] = to;
  f->group.at[b].members.n = 0;
}

/* ---- attention ---- */

typedef struct CountReads {
  const Fuse *f;
  int a, b, n;
} CountReads;

static void count_read(void *ctx, Id p, const Map *m) {
  CountReads *c = ctx;
  (void)m;
  c->n += c->f->of[p] == c->a || c->f->of[p] == c->b;
}

/* Makes one group of the rows of group a, the scores that they read and the product b, if these are attention. False:
 * they are not, or f->why speaks against it. */
static bool try_attention(Fuse *f, int a, int b) {
  const Graph *g = f->g;
  const Group *rows = &f->group.at[a], *last = &f->group.at[b];
  Softmax x;
  if (rows->kind != GROUP_ROW || last->kind != GROUP_GEMM || last->members.n != 1) return false;
  if (!group_attention(g, last->anchor, &x) || row_reductions(f, rows) != 2) return false;
  int s = f->of[x.x], at_full = 0;
  DType d = graph_dtype(g, last->anchor);
  for (uint32_t i = 0; i < rows->members.n; i++) {
    Id v = rows->members.at[i];
    bool rounds = graph_op(g, v) == OP_CONVERT && dtype_is_half(graph_dtype(g, v));
    at_full += !row_op(g, v) && full(g, v, rows) && !rounds;
  }
  if (s < 0 || s == a || f->of[x.sum] != a || f->group.at[s].kind != GROUP_GEMM ||
      !group_scores(g, f->group.at[s].anchor) || !full(g, x.x, &f->group.at[s]) || at_full != 3 ||
      d != graph_dtype(g, x.x) || d != graph_dtype(g, f->group.at[s].anchor) || (d != DT_F32 && d != DT_F64))
    return false;
  CountReads reads = {f, a, s, 0};
  group_reads(g, last->anchor, count_read, &reads);
  if (reads.n != 1 || !feeds_only(f, s, a) || !feeds_only(f, a, b)) {
    f->why = "the scores or weights of attention are needed elsewhere too: they are stored";
    return false;
  }
  Group to = *last;
  Ids scored = merged(f, &f->group.at[s], rows);
  to.kind = GROUP_ATTENTION;
  to.cost = f->group.at[s].cost + rows->cost + last->cost;
  to.members = merged(f, &(Group){.members = scored}, last);
  for (uint32_t i = 0; i < to.members.n; i++) f->of[to.members.at[i]] = b;
  f->group.at[a].members.n = f->group.at[s].members.n = 0;
  f->group.at[b] = to;
  return true;
}

static const char ATTENTION[] = "scores, softmax and product of attention: one kernel, block by block of keys";

/* The nodes of each copy that pass_attention_grad has made become one group. */
static void copies_as_groups(Fuse *f, const Id *order, int n) {
  const Graph *g = f->g;
  for (int i = 0; i < n; i++) {
    Id v = order[i];
    uint32_t copy = graph_at(g, v)->copy;
    if (!group_copied(g, v) || f->of[v] < 0 || f->group.at[f->of[v]].kind == GROUP_ATTENTION_GRAD) continue;
    Group to = {.kind = GROUP_ATTENTION_GRAD};
    for (int j = i; j < n; j++) {
      Id w = order[j];
      if (graph_at(g, w)->copy != copy || f->of[w] < 0) continue;
      Group *own = &f->group.at[f->of[w]];
      own->members.n = 0;
      if (own->kind == GROUP_GEMM)
        to.anchor = w;
      else
        to.cost += own->cost;
      vec_push(f->arena, &to.members, w);
      f->of[w] = f->of[v];
    }
    to.rank = graph_rank(g, to.anchor);
    memcpy(to.space, graph_shape(g, to.anchor), (size_t)to.rank * sizeof(Sym));
    f->group.at[f->of[v]] = to;
  }
}

/* What was tried between the parts before is settled. */
static void settle_notes(Fuse *f, int k) {
  for (uint32_t i = 0; i < f->out->notes.n; i++) {
    FuseNote *n = &f->out->notes.at[i];
    if (n->fused || f->of[n->producer] != k || f->of[n->consumer] != k) continue;
    n->fused = true;
    n->why = ATTENTION;
  }
}

/* ---- the pass ---- */

typedef struct Reader {
  Fuse *f;
  Id reader;
} Reader;

static void add_user(void *ctx, Id p, const Map *m) {
  Reader *x = ctx;
  Ids *users = &x->f->users[p];
  (void)m;
  if (!users->n || vec_last(users) != x->reader) vec_push(x->f->scratch, users, x->reader); /* readers come in order */
}

static void start_group(Fuse *f, Id v) {
  const Graph *g = f->g;
  Op o = graph_op(g, v);
  OpClass cls = OP_INFO[o].cls;
  bool inner = cls == CLASS_REDUCE || cls == CLASS_ARG;
  Id shaped = inner ? *graph_in(g, v) : v;
  Group x = {.rank = graph_rank(g, shaped), .cost = node_cost(g, v)};
  if (x.rank) memcpy(x.space, graph_shape(g, shaped), (size_t)x.rank * sizeof(Sym));
  x.kind = row_op(g, v)           ? GROUP_ROW
           : cls == CLASS_REDUCE  ? GROUP_REDUCE
           : cls == CLASS_DOT     ? GROUP_GEMM
           : o == OP_CONV_GENERAL ? GROUP_CONV
           : by_element(g, v)     ? GROUP_ELEM
                                  : GROUP_NEST;
  x.anchor = x.kind == GROUP_ELEM || x.kind == GROUP_ROW ? 0 : v;
  vec_push(f->arena, &x.members, v);
  f->of[v] = (int)f->group.n;
  if (!place(g, v, x.space, x.rank, &f->pos[v])) f->pos[v] = map_identity(graph_rank(g, v));
  vec_push(f->arena, &f->group, x);
}

static void merge_read(void *ctx, Id p, const Map *m) {
  Reader *x = ctx;
  int a = x->f->of[p], b = x->f->of[x->reader];
  (void)m;
  if (a < 0 || a == b) return;
  x->f->why = NULL;
  if (try_attention(x->f, a, b)) {
    add_note(x->f, (FuseNote){p, x->reader, true, false, ATTENTION});
    settle_notes(x->f, b);
  } else if (x->f->why)
    add_note(x->f, (FuseNote){p, x->reader, false, false, x->f->why});
  else
    try_merge(x->f, a, b, p, x->reader, false);
}

/* Groups over the same rows that read the same stored value, and do not feed each other, read it once together. */
static void merge_siblings(Fuse *f, Id read) {
  for (uint32_t i = 0; i < f->users[read].n; i++)
    for (uint32_t j = i + 1; j < f->users[read].n; j++) {
      Id first = f->users[read].at[i], second = f->users[read].at[j];
      int a = f->of[first], b = f->of[second];
      if (a == b) continue;
      const Group *x = &f->group.at[a], *y = &f->group.at[b];
      if (x->kind == GROUP_ROW && y->kind == GROUP_ROW && same_shape(x->space, x->rank, y->space, y->rank) &&
          same_shape(x->space, x->rank, graph_shape(f->g, read), graph_rank(f->g, read)))
        try_merge(f, a < b ? a : b, a < b ? b : a, first, second, true);
    }
}

enum { ORDER_NEW = -1, ORDER_OPEN = -2 }; /* of a group's number until it has its place */
typedef Vec(int) Ints;

/* Appends group k after the groups that it reads from, depth first. */
static void launch_order(Fuse *f, int k, int *number, const Ints *feeds) {
  typedef struct Place {
    int group;
    uint32_t next; /* of its feeds */
  } Place;
  Vec(Place) path = {0};
  vec_push(f->scratch, &path, (Place){k, 0});
  number[k] = ORDER_OPEN;
  while (path.n) {
    Place *at = &vec_last(&path);
    if (at->next == feeds[at->group].n) {
      number[at->group] = (int)f->out->at.n;
      vec_push(f->arena, &f->out->at, f->group.at[at->group]);
      path.n--;
      continue;
    }
    int p = feeds[at->group].at[at->next++];
    if (number[p] == ORDER_OPEN) BUG("a cycle of groups");
    if (number[p] != ORDER_NEW) continue;
    number[p] = ORDER_OPEN;
    vec_push(f->scratch, &path, (Place){p, 0});
  }
}

/* Groups into launch order; members get the numbers of their groups. */
static void number_groups(Fuse *f) {
  uint32_t n = f->group.n, count = f->g->node.n;
  Ints *feeds = arena_alloc(f->scratch, (n + 1) * sizeof *feeds);
  int *number = ARENA_ARRAY(f->scratch, int, n + 1);
  for (uint32_t p = 0; p < count; p++)
    for (uint32_t k = 0; k < f->users[p].n; k++) {
      int to = f->of[f->users[p].at[k]];
      if (f->of[p] >= 0 && f->of[p] != to) vec_push(f->scratch, &feeds[to], f->of[p]);
    }
  for (uint32_t k = 0; k < n; k++) number[k] = ORDER_NEW;
  for (uint32_t k = 0; k < n; k++)
    if (f->group.at[k].members.n && number[k] == ORDER_NEW) launch_order(f, (int)k, number, feeds);
  for (uint32_t v = 0; v < count; v++)
    if (f->of[v] >= 0) f->of[v] = number[f->of[v]];
}

/* What another group or the entry needs is stored. */
static void find_outputs(Fuse *f) {
  const Graph *g = f->g;
  Groups *out = f->out;
  out->stored = ARENA_ARRAY(f->arena, uint8_t, g->node.n);
  for (uint32_t v = 0; v < g->node.n; v++) {
    out->stored[v] = group_leaf(g, v) || (f->of[v] >= 0 && f->wanted[v]);
    for (uint32_t k = 0; k < f->users[v].n; k++) out->stored[v] |= f->of[f->users[v].at[k]] != f->of[v];
    if (f->of[v] >= 0 && out->stored[v]) vec_push(f->arena, &out->at.at[f->of[v]].outputs, v);
  }
}

Groups *pass_fuse(const Graph *g, const Id *outputs, int n, bool tiles_sum) {
  Arena *arena = g->ctx->arena, *scratch = arena_new();
  Groups *out = ARENA_NEW(arena, Groups);
  uint32_t count = g->node.n;
  Fuse f = {.g = g,
            .arena = arena,
            .scratch = scratch,
            .out = out,
            .tiles_sum = tiles_sum,
            .of = ARENA_ARRAY(arena, int, count),
            .pos = ARENA_ARRAY(arena, Map, count),
            .wanted = ARENA_ARRAY(scratch, uint8_t, count),
            .users = ARENA_ARRAY(scratch, Ids, count),
            .seen = ARENA_ARRAY(scratch, uint32_t, count),
            .seen_node = ARENA_ARRAY(scratch, uint32_t, count)};
  *out = (Groups){.graph = g, .of = f.of, .pos = f.pos};
  Id *order = ARENA_ARRAY(scratch, Id, count);
  int reached = graph_reach(g, outputs, n, order);
  for (uint32_t i = 0; i < count; i++) f.of[i] = -1;
  for (int i = 0; i < n; i++) f.wanted[outputs[i]] = 1;
  for (int i = 0; i < reached; i++)
    if (!group_leaf(g, order[i]) && (f.wanted[order[i]] || !group_free(g, order[i]))) start_group(&f, order[i]);
  for (int i = 0; i < reached; i++)
    if (f.of[order[i]] >= 0) group_reads(g, order[i], add_user, &(Reader){&f, order[i]});
  copies_as_groups(&f, order, reached);
  for (int i = 0; i < reached; i++)
    if (f.of[order[i]] >= 0) group_reads(g, order[i], merge_read, &(Reader){&f, order[i]});
  for (int i = 0; i < reached; i++) merge_siblings(&f, order[i]);
  number_groups(&f);
  find_outputs(&f);
  arena_free(scratch);
  return out;
}
