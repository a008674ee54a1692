/* The gradient of attention without matrices of scores or weights in memory. Where all that is made of the scores of
 * y = softmax(scores) @ v and of the products of y's cotangents with v is element-wise, down to the products that give
 * the gradients, these get copies of their own of it: one copy for the gradient of the queries, one for those of keys
 * and values. A copy works the weights out as exp(score - lse) from one number a row, the logarithm of the sum of the
 * scores' exponentials, and the sum of weights times their cotangents as that of y times its own, over the columns
 * instead of the keys (Dao, FlashAttention-2, 2023, section 3.1.2). Nothing else then needs the matrices. */
#include "autodiff.h"
#include "group.h"
#include "pass.h"
#include <math.h>
#include <string.h>

enum { OF_SCORES = 1, OF_SLOPES = 2 }; /* what a value is made of, element by element: scores, cotangents of weights */

typedef struct Attention {
  Id y, p, s;               /* results, weights, products of the scores */
  Softmax soft;             /* p */
  Id slopes;                /* products of y's cotangents with v; 0 */
  Id mean;                  /* sums of p * slopes; 0 */
  Id queries, keys, values; /* the products that give their gradients; 0 */
  uint8_t *made;            /* of each node: OF_SCORES, OF_SLOPES */
  Id lse;                   /* in the graph to be, as the following */
  Id new_keys, new_values;
} Attention;

typedef struct Rewrite {
  const Graph *from;
  Graph *to;
  const Id *map;
  Arena *arena;
  Ids *users;
  uint8_t *wanted;
  Vec(Attention) found;
  Id *copy;    /* of the copy under way: old id -> new id */
  Id *early;   /* of what had to be made before its time */
  Id *operand; /* of the node under way */
  uint32_t copies;
} Rewrite;

static bool same_shape(const Graph *g, Id a, Id b) {
  int rank = graph_rank(g, a);
  return rank == graph_rank(g, b) && !memcmp(graph_shape(g, a), graph_shape(g, b), (size_t)rank * sizeof(Sym));
}

static bool by_element(const Graph *g, Id v, Id scores) {
  return op_elementwise(graph_op(g, v)) && same_shape(g, v, scores);
}

/* ---- finding ---- */

/* The product from which something is made element by element, beside what is marked. */
typedef struct Source {
  Id product;
  bool several;
} Source;

static void find_source(Rewrite *r, const Attention *a, Id like, Id v, uint8_t *seen, Source *out) {
  const Graph *g = r->from;
  if (seen[v] || a->made[v] || !same_shape(g, v, like)) return;
  seen[v] = 1;
  if (graph_op(g, v) == OP_DOT_GENERAL) {
    out->several |= out->product != 0;
    out->product = v;
  } else if (by_element(g, v, like))
    for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) find_source(r, a, like, graph_in(g, v)[i], seen, out);
}

/* Marks what is made of v element by element; `ends` gets what else reads it, with what it reads. False: the caller
 * needs one of them. */
typedef struct End {
  Id reader, read;
} End;
typedef Vec(End) Ends;

static bool mark(Rewrite *r, Attention *a, Id v, uint8_t how, Ends *ends) {
  const Graph *g = r->from;
  Vec(Id) todo = {0};
  a->made[v] |= how;
  vec_push(r->arena, &todo, v);
  while (todo.n) {
    Id x = todo.at[--todo.n];
    if (r->wanted[x]) return false;
    for (uint32_t i = 0; i < r->users[x].n; i++) {
      Id u = r->users[x].at[i];
      if (!by_element(g, u, a->s)) {
        vec_push(r->arena, ends, ((End){u, x}));
        continue;
      }
      if ((a->made[u] & how) == how) continue;
      a->made[u] |= how;
      vec_push(r->arena, &todo, u);
    }
  }
  return true;
}

/* Whether `product` sums over the rows of v, all of whose other axes but the last one are of a batch, and of another
 * operand, which has one axis more, somewhere. */
static bool sums_rows(const Graph *g, Id product, Id v) {
  int n, rank = graph_rank(g, v);
  const Id *in = graph_in(g, product);
  if ((in[0] == v) == (in[1] == v) || graph_rank(g, in[0]) != rank || graph_rank(g, in[1]) != rank) return false;
  int own = in[1] == v;
  const int64_t *c = graph_attr(g, product, "contract", &n);
  if (n != 2 || c[own] != rank - 2) return false;
  const int64_t *b = graph_attr(g, product, "batch", &n) + own * (rank - 2);
  for (int i = 0; n == 2 * (rank - 2) && i < rank - 2; i++)
    if (b[i] != i) return false;
  return n == 2 * (rank - 2);
}

/* Whether v is the sum over keys of the weights times their cotangents, and read by nothing but in all of a row. */
static bool is_mean(Rewrite *r, const Attention *a, Id v) {
  const Graph *g = r->from;
  int n, last = graph_rank(g, a->s) - 1;
  if (graph_op(g, v) != OP_REDUCE_SUM || graph_attr(g, v, "axes", &n)[0] != last || n != 1 || r->wanted[v])
    return false;
  Id product = graph_unrounded(g, *graph_in(g, v));
  if (graph_op(g, product) != OP_MUL) return false;
  const Id *in = graph_in(g, product);
  Id x = graph_unrounded(g, in[0]), y = graph_unrounded(g, in[1]);
  return (x == a->p && y == a->slopes) || (x == a->slopes && y == a->p);
}

/* v is spread over all of a row: from what, else 0. */
static Id spread_row(const Graph *g, Id v) {
  int n;
  if (graph_op(g, v) != OP_BROADCAST) return 0;
  const int64_t *axes = graph_attr(g, v, "axes", &n);
  for (int i = 0; i < n; i++)
    if (axes[i] != i) return 0;
  return n == graph_rank(g, v) - 1 ? graph_unrounded(g, *graph_in(g, v)) : 0;
}

/* Whether all that reads v is spread over rows of the scores. */
static bool only_spread(const Rewrite *r, const Attention *a, Id v, Id as) {
  const Graph *g = r->from;
  for (uint32_t i = 0; i < r->users[as].n; i++) {
    Id u = r->users[as].at[i];
    bool rounds = graph_op(g, u) == OP_CONVERT && (dtype_is_half(graph_dtype(g, u)) || graph_unrounded(g, u) == v);
    if (rounds ? r->wanted[u] || !only_spread(r, a, v, u) : spread_row(g, u) != v || !same_shape(g, u, a->s))
      return false;
  }
  return true;
}

/* Takes product `u`, which reads v, as one of those that give gradients. */
static bool take_product(const Graph *g, Attention *a, Id u, Id v) {
  bool slopes = a->made[v] & OF_SLOPES;
  Id *as = NULL;
  if (graph_op(g, u) != OP_DOT_GENERAL) return false;
  if (sums_rows(g, u, v))
    as = slopes ? &a->keys : &a->values;
  else if (group_weighs(g, u) && graph_in(g, u)[0] == v && graph_in(g, u)[1] != v && slopes)
    as = &a->queries;
  if (!as || (*as && *as != u)) return false;
  *as = u;
  return true;
}

/* The axes of a product's left side in the order of the result: batch, free, contracted. */
static void left_order(const Graph *g, Id product, int *axes) {
  int n, k = 0, rank = graph_rank(g, graph_in(g, product)[0]);
  const int64_t *b = graph_attr(g, product, "batch", &n);
  bool batch[MAX_RANK] = {false};
  for (int i = 0; i < n / 2; i++) batch[axes[k++] = (int)b[i]] = true;
  int contracted = (int)graph_attr(g, product, "contract", &n)[0];
  for (int i = 0; i < rank; i++)
    if (!batch[i] && i != contracted) axes[k++] = i;
  axes[k] = contracted;
}

/* Whether the sums of p * slopes are those of y times its cotangents: the same values weigh both. */
static bool same_values(const Graph *g, const Attention *a) {
  int n, m, axes[MAX_RANK], rank = graph_rank(g, a->y);
  const Id *y = graph_in(g, a->y), *s = graph_in(g, a->slopes);
  const int64_t *cy = graph_attr(g, a->y, "contract", &n), *cs = graph_attr(g, a->slopes, "contract", &m);
  if (y[1] != s[1] || cy[1] == cs[1] || graph_rank(g, s[0]) != rank) return false;
  const int64_t *by = graph_attr(g, a->y, "batch", &n), *bs = graph_attr(g, a->slopes, "batch", &m);
  if (n != m || (n && memcmp(by + n / 2, bs + n / 2, (size_t)n / 2 * sizeof *by) != 0)) return false;
  left_order(g, a->slopes, axes);
  for (int i = 0; i < rank; i++)
    if (graph_shape(g, s[0])[axes[i]] != graph_shape(g, a->y)[i]) return false;
  return true;
}

static bool find(Rewrite *r, Id y, Attention *a) {
  const Graph *g = r->from;
  uint32_t n = g->node.n;
  Source source = {0};
  Ends ends = {0};
  *a = (Attention){.y = y};
  if (!group_attention(g, y, &a->soft)) return false;
  a->p = graph_unrounded(g, *graph_in(g, y));
  a->made = ARENA_ARRAY(r->arena, uint8_t, n);
  find_source(r, a, a->soft.x, a->soft.x, ARENA_ARRAY(r->arena, uint8_t, n), &source);
  a->s = source.product;
  if (!a->s || source.several || !group_scores(g, a->s) || !mark(r, a, a->s, OF_SCORES, &ends)) return false;
  source = (Source){0};
  uint8_t *seen = ARENA_ARRAY(r->arena, uint8_t, n);
  for (Id v = a->s; v < n; v++)
    for (uint32_t i = 0; a->made[v] && v != a->s && i < graph_at(g, v)->nin; i++)
      find_source(r, a, a->s, graph_in(g, v)[i], seen, &source);
  a->slopes = source.product;
  if (source.several || (a->slopes && (!group_scores(g, a->slopes) || !mark(r, a, a->slopes, OF_SLOPES, &ends))))
    return false;
  for (uint32_t i = 0; i < ends.n; i++) {
    Id u = ends.at[i].reader;
    if (u == a->soft.most || u == a->soft.sum || (u == y && graph_in(g, u)[1] != ends.at[i].read)) continue;
    if (a->slopes && is_mean(r, a, u) && only_spread(r, a, u, u))
      a->mean = u;
    else if (!take_product(g, a, u, ends.at[i].read))
      return false;
  }
  if (a->mean && !same_values(g, a)) return false;
  bool apart =
      !a->keys || !a->values || (!graph_depends(g, a->keys, a->values) && !graph_depends(g, a->values, a->keys));
  return apart && (a->queries || a->keys || a->values);
}

/* ---- writing ---- */

/* v in the new graph, which may not have come to it yet. */
static Id plain(Rewrite *r, Id v) {
  if (r->map[v]) return r->map[v];
  if (r->early[v]) return r->early[v];
  uint32_t copy = r->to->copy;
  for (uint32_t i = 0; i < graph_at(r->from, v)->nin; i++) {
    Id x = graph_in(r->from, v)[i];
    r->early[x] = plain(r, x);
  }
  r->to->copy = 0;
  r->early[v] = graph_copy_node(r->from, v, r->to, r->early);
  r->to->copy = copy;
  return r->early[v];
}

static Id spread(Rewrite *r, const Attention *a, Id row) {
  int axes[MAX_RANK], rank = graph_rank(r->from, a->s);
  for (int i = 0; i < rank - 1; i++) axes[i] = i;
  return g_broadcast(r->to, row, graph_shape(r->from, a->s), rank, axes);
}

/* The results as they are stored, in f32. */
static Id stored_results(Rewrite *r, const Attention *a) {
  const Graph *g = r->from;
  for (uint32_t i = 0; i < r->users[a->y].n; i++) {
    Id u = r->users[a->y].at[i];
    if (graph_op(g, u) == OP_CONVERT && dtype_is_half(graph_dtype(g, u))) return g_convert(r->to, DT_F32, plain(r, u));
  }
  return plain(r, a->y);
}

static Id new_mean(Rewrite *r, const Attention *a) {
  uint32_t copy = r->to->copy;
  int last = graph_rank(r->from, a->y) - 1, axes[MAX_RANK];
  r->to->copy = 0;
  left_order(r->from, a->slopes, axes);
  Id ct = g_transpose(r->to, plain(r, *graph_in(r->from, a->slopes)), axes);
  Id x = g_binary(r->to, OP_MUL, stored_results(r, a), ct);
  Id mean = g_reduce(r->to, OP_REDUCE_SUM, x, &last, 1);
  r->to->copy = copy;
  return mean;
}

/* The node with these operands instead. */
static Id copied(Rewrite *r, Id v, const Id *operands) {
  for (uint32_t i = 0; i < graph_at(r->from, v)->nin; i++) r->operand[graph_in(r->from, v)[i]] = operands[i];
  return graph_copy_node(r->from, v, r->to, r->operand);
}

/* v in the copy under way. */
static Id again(Rewrite *r, const Attention *a, Id v) {
  const Graph *g = r->from;
  Id x = graph_unrounded(g, v);
  if (r->copy[x]) return r->copy[x];
  if (a->mean && spread_row(g, x) == a->mean) return r->copy[x] = spread(r, a, new_mean(r, a));
  if (!a->made[x]) return r->copy[x] = plain(r, x);
  if (x == a->p)
    return r->copy[x] = g_unary(r->to, OP_EXP, g_binary(r->to, OP_SUB, again(r, a, a->soft.x), spread(r, a, a->lse)));
  bool product = x == a->s || x == a->slopes;
  const uint32_t n = graph_at(g, x)->nin;
  const Id *in = graph_in(g, x);
  Id *made = ARENA_ARRAY(r->arena, Id, n);
  for (uint32_t i = 0; i < n; i++) made[i] = product ? plain(r, in[i]) : again(r, a, in[i]);
  return r->copy[x] = copied(r, x, made);
}

static void begin_copy(Rewrite *r) {
  memset(r->copy, 0, r->from->node.n * sizeof *r->copy);
  r->to->copy = GROUP_COPIES + r->copies++;
}

static Id new_queries(Rewrite *r, const Attention *a) {
  const Id *in = graph_in(r->from, a->queries);
  begin_copy(r);
  Id operands[2] = {again(r, a, in[0]), plain(r, in[1])}, made = copied(r, a->queries, operands);
  r->to->copy = 0;
  return made;
}

/* Where what is made anew stands in a product that sums its rows. */
static int own_side(const Rewrite *r, const Attention *a, Id product) {
  return a->made[graph_in(r->from, product)[1]] != 0;
}

/* The product with what is made anew on its left: keys by columns. */
static Id summed_rows(Rewrite *r, const Attention *a, Id product) {
  int n, axes[MAX_RANK], other[MAX_RANK], batch = graph_rank(r->from, a->s) - 2, own = own_side(r, a, product);
  const Id *in = graph_in(r->from, product);
  const int64_t *b = graph_attr(r->from, product, "batch", &n);
  for (int i = 0; i < batch; i++) axes[i] = i, other[i] = (int)b[(1 - own) * batch + i];
  int row = (int)graph_attr(r->from, product, "contract", &n)[1 - own];
  return g_dot(r->to, again(r, a, in[own]), plain(r, in[1 - own]), &batch, &row, 1, axes, other, batch);
}

static Id as_before(Rewrite *r, const Attention *a, Id product, Id made) {
  int axes[MAX_RANK], rank = graph_rank(r->from, product);
  if (!own_side(r, a, product)) return made;
  for (int i = 0; i < rank; i++) axes[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
  return g_transpose(r->to, made, axes);
}

/* How many columns a product that sums rows has. */
static Sym columns(const Rewrite *r, const Attention *a, Id product) {
  int rank = graph_rank(r->from, product);
  return graph_shape(r->from, product)[own_side(r, a, product) ? rank - 2 : rank - 1];
}

/* Both in one copy, one after the other, where they have as many columns. */
static void new_keys_values(Rewrite *r, Attention *a) {
  bool joint = a->keys && a->values && columns(r, a, a->keys) == columns(r, a, a->values);
  if (a->keys) {
    begin_copy(r);
    a->new_keys = summed_rows(r, a, a->keys);
  }
  if (a->values) {
    if (!joint) begin_copy(r);
    a->new_values = summed_rows(r, a, a->values);
  }
  r->to->copy = 0;
  if (a->keys) a->new_keys = as_before(r, a, a->keys, a->new_keys);
  if (a->values) a->new_values = as_before(r, a, a->values, a->new_values);
}

/* The logarithm of the sum of a row's exponentials; infinite where no weight is more than 0. */
static Id row_lse(Rewrite *r, const Attention *a, Id most, Id sum) {
  Graph *g = r->to;
  DType d = graph_dtype(g, sum);
  Id lse = g_binary(g, OP_ADD, most, g_unary(g, OP_LOG, sum));
  if (!a->soft.guarded) return lse;
  return g_select(g, g_binary(g, OP_EQUAL, most, g_const(g, d, -INFINITY)), g_const(g, d, INFINITY), lse);
}

/* A conversion of what `as_before` turns: before it is turned, so that it is one kernel with the product. */
static Id converted(Rewrite *r, Id v) {
  Id x = r->map[*graph_in(r->from, v)];
  int n, axes[MAX_RANK];
  if (graph_op(r->to, x) != OP_TRANSPOSE || !group_copied(r->to, *graph_in(r->to, x))) return 0;
  const int64_t *turned = graph_attr(r->to, x, "axes", &n);
  for (int i = 0; i < n; i++) axes[i] = (int)turned[i];
  return g_transpose(r->to, g_convert(r->to, graph_dtype(r->from, v), *graph_in(r->to, x)), axes);
}

static Id visit(void *ctx, const Graph *from, Id v, Graph *to, const Id *map) {
  Rewrite *r = ctx;
  r->to = to;
  r->map = map;
  for (uint32_t i = 0; i < r->found.n; i++) {
    Attention *a = &r->found.at[i];
    if (v == a->soft.sum) {
      Id sum = graph_copy_node(from, v, to, map);
      a->lse = row_lse(r, a, map[a->soft.most], sum);
      return sum;
    }
    if (v == a->queries) return new_queries(r, a);
    if (v != a->keys && v != a->values) continue;
    if (!a->new_keys && !a->new_values) new_keys_values(r, a);
    return v == a->keys ? a->new_keys : a->new_values;
  }
  return graph_op(from, v) == OP_CONVERT ? converted(r, v) : 0;
}

static bool rewrite(void *ctx, const Graph *from, Graph *to, Id *map) {
  Rewrite r = {.from = from, .arena = arena_new()};
  uint32_t n = from->node.n;
  Id *order = ARENA_ARRAY(r.arena, Id, n);
  int reached = graph_reach(from, from->output.at, (int)from->output.n, order);
  (void)ctx;
  r.users = ARENA_ARRAY(r.arena, Ids, n);
  r.wanted = ARENA_ARRAY(r.arena, uint8_t, n);
  r.copy = ARENA_ARRAY(r.arena, Id, n);
  r.early = ARENA_ARRAY(r.arena, Id, n);
  r.operand = ARENA_ARRAY(r.arena, Id, n);
  for (uint32_t i = 0; i < from->output.n; i++) r.wanted[from->output.at[i]] = 1;
  for (int i = 0; i < reached; i++)
    for (uint32_t k = 0; k < graph_at(from, order[i])->nin; k++) {
      Ids *users = &r.users[graph_in(from, order[i])[k]];
      if (!users->n || vec_last(users) != order[i]) vec_push(r.arena, users, order[i]);
    }
  for (int i = 0; i < reached; i++) {
    Attention a;
    if (graph_op(from, order[i]) == OP_DOT_GENERAL && find(&r, order[i], &a)) vec_push(r.arena, &r.found, a);
  }
  bool ok = graph_rebuild(from, to, visit, &r, map);
  arena_free(r.arena);
  return ok;
}

const Entry *pass_attention_grad(const Entry *e) {
  Arena *arena = e->graph->ctx->arena;
  Entry *own = ARENA_NEW(arena, Entry);
  *own = *e;
  memset(&own->inputs, 0, sizeof own->inputs); /* what `e` lists stays as it is */
  memset(&own->outputs, 0, sizeof own->outputs);
  memset(&own->updates, 0, sizeof own->updates);
  for (uint32_t i = 0; i < e->inputs.n; i++) vec_push(arena, &own->inputs, e->inputs.at[i]);
  for (uint32_t i = 0; i < e->outputs.n; i++) vec_push(arena, &own->outputs, e->outputs.at[i]);
  for (uint32_t i = 0; i < e->updates.n; i++) vec_push(arena, &own->updates, e->updates.at[i]);
  return entry_map(own, rewrite, NULL) ? own : NULL;
}
