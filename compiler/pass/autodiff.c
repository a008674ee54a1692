#include "autodiff.h"
#include "softmax.h"
#include "vjp.h"
#include <stdlib.h>
#include <string.h>

static Vjp *const VJP[OP_COUNT] = {
#define OP(NAME, text, arity, cls, flags, dtypes, attrs, shape, vjp, ...) [OP_##NAME] = vjp_##vjp,
#include "ops.def"
#undef OP
};

typedef struct Back { /* one sweep; arrays are indexed by id - low */
  Graph *g;
  Arena *scratch;
  Id low, end;  /* forward nodes that matter: low <= id < end */
  uint8_t *way; /* LIVE, WRT */
  Id *ct;       /* cotangent so far */
  Id **parts;   /* of a node of several results: one each */
} Back;
enum { LIVE = 1, WRT = 2 };

static bool flows(const Graph *g, Id v) { return dtype_is_float(graph_dtype(g, v)) || graph_results(g, v) > 1; }

/* Marks what depends on a wrt by a path on which gradient can flow. */
static void mark(Back *b, const Id *wrt, int n) {
  for (int i = 0; i < n; i++)
    if (wrt[i] < b->end) b->way[wrt[i] - b->low] = LIVE | WRT;
  for (Id v = b->low; v < b->end; v++) {
    uint8_t *w = &b->way[v - b->low];
    Vjp *rule = VJP[graph_op(b->g, v)];
    if (*w || (rule == vjp_none && graph_op(b->g, v) != OP_GET) || rule == vjp_stop || !flows(b->g, v)) continue;
    for (uint32_t i = 0; i < graph_at(b->g, v)->nin && !*w; i++) {
      Id a = graph_in(b->g, v)[i];
      if (a >= b->low && b->way[a - b->low] && flows(b->g, a)) *w = LIVE;
    }
  }
}

static bool live(const Back *b, Id v) { return v >= b->low && v < b->end && b->way[v - b->low]; }

static Id sum_all(Graph *g, Id v) {
  int axes[MAX_RANK];
  for (int i = 0; i < graph_rank(g, v); i++) axes[i] = i;
  return g_reduce(g, OP_REDUCE_SUM, v, axes, graph_rank(g, v));
}

static void give(Back *b, Id v, Id c) {
  if (!c || !live(b, v) || !flows(b->g, v)) return;
  if (graph_rank(b->g, v) == 0 && graph_rank(b->g, c) > 0)
    c = sum_all(b->g, c); /* a scalar that met a larger operand */
  Id *at = &b->ct[v - b->low];
  *at = *at ? g_binary(b->g, OP_ADD, *at, c) : c;
}

static void give_part(Back *b, Id get, Id c) {
  Id v = graph_in(b->g, get)[0];
  int n = graph_results(b->g, v);
  if (n == 1) {
    give(b, v, c);
    return;
  }
  if (!live(b, v)) return;
  Id **parts = &b->parts[v - b->low];
  if (!*parts) *parts = ARENA_ARRAY(b->scratch, Id, n);
  Id *at = &(*parts)[graph_attr_int(b->g, get, "index")];
  *at = *at ? g_binary(b->g, OP_ADD, *at, c) : c; /* copies of a get are nodes of their own */
}

/* Whether nothing from x on up to p is a wrt itself: then p's cotangent may go to x at once. */
static bool nothing_asked(const Back *b, Id x, Id p) {
  for (Id v = x + 1; v <= p; v++)
    if (b->way[v - b->low] & WRT) return false;
  return live(b, x);
}

/* Of p = softmax(x): x gets p (ct - sum(p ct)). */
static void step_softmax(Back *b, Id p, Id x, int axis) {
  Graph *g = b->g;
  int rows[MAX_RANK], n = 0;
  Id ct = b->ct[p - b->low], mean = g_reduce(g, OP_REDUCE_SUM, g_binary(g, OP_MUL, p, ct), &axis, 1);
  for (int i = 0; i < graph_rank(g, p); i++)
    if (i != axis) rows[n++] = i;
  mean = g_broadcast(g, mean, graph_shape(g, p), graph_rank(g, p), rows);
  give(b, x, g_binary(g, OP_MUL, p, g_binary(g, OP_SUB, ct, mean)));
}

/* Hands v's cotangent on to its operands. */
static bool step(Back *b, Id v) {
  Graph *g = b->g;
  int n = (int)graph_at(g, v)->nin;
  const Id *ct = graph_results(g, v) > 1 ? b->parts[v - b->low] : &b->ct[v - b->low];
  if (!ct || (graph_results(g, v) == 1 && !*ct)) return true;
  g->loc = graph_at(g, v)->loc;
  if (graph_op(g, v) == OP_GET) {
    give_part(b, v, *ct);
    return true;
  }
  Softmax p;
  if (graph_softmax(g, v, &p) && nothing_asked(b, p.x, v)) {
    step_softmax(b, v, p.x, p.axis);
    return true;
  }
  bool *want = ARENA_ARRAY(b->scratch, bool, n + 1);
  Id *out = ARENA_ARRAY(b->scratch, Id, n + 1);
  for (int i = 0; i < n; i++) {
    Id a = graph_in(g, v)[i];
    want[i] = live(b, a) && flows(g, a);
  }
  if (!VJP[graph_op(g, v)](g, v, ct, want, out)) return false;
  for (int i = 0; i < n; i++)
    if (want[i]) give(b, graph_in(g, v)[i], out[i]);
  return true;
}

static Id ones(Graph *g, Id y) {
  Sym shape[MAX_RANK];
  for (int i = 0; i < graph_rank(g, y); i++) shape[i] = graph_shape(g, y)[i];
  return g_full(g, graph_dtype(g, y), 1, shape, graph_rank(g, y));
}

bool graph_grad(Graph *g, const Id *ys, const Id *cts, int ny, const Id *wrt, int nwrt, Id *out) {
  int errors = diag_errors(g->ctx->diag);
  Loc loc = g->loc;
  memset(out, 0, sizeof *out * (size_t)nwrt);
  if (!nwrt) return true;
  Back b = {.g = g, .scratch = arena_new(), .low = wrt[0], .end = g->node.n};
  for (int i = 1; i < nwrt; i++)
    if (wrt[i] < b.low) b.low = wrt[i];
  b.way = ARENA_ARRAY(b.scratch, uint8_t, b.end - b.low);
  b.ct = ARENA_ARRAY(b.scratch, Id, b.end - b.low);
  b.parts = ARENA_ARRAY(b.scratch, Id *, b.end - b.low);
  mark(&b, wrt, nwrt);
  for (int i = 0; i < ny; i++)
    if (live(&b, ys[i]) && flows(g, ys[i])) give(&b, ys[i], cts ? cts[i] : ones(g, ys[i]));
  bool ok = true;
  for (Id v = b.end; ok && v-- > b.low;)
    if (b.way[v - b.low] == LIVE) ok = step(&b, v);
  for (int i = 0; i < nwrt; i++) out[i] = b.ct[wrt[i] - b.low];
  arena_free(b.scratch);
  g->loc = loc;
  return ok && diag_errors(g->ctx->diag) == errors;
}

/* Through the body: made again on leaves that stand for the operands, so that equal operands stay apart. */
bool vjp_body(Graph *g, Id y, const Id *ct, const bool *want, Id *out) {
  const Graph *body = graph_body(g, y);
  int nin = (int)graph_at(g, y)->nin, nout = (int)body->output.n, ny = 0, nw = 0;
  Arena *scratch = arena_new();
  Id *args = ARENA_ARRAY(scratch, Id, nin + 1), *wrt = ARENA_ARRAY(scratch, Id, nin + 1),
     *got = ARENA_ARRAY(scratch, Id, nin + 1);
  Id *ys = ARENA_ARRAY(scratch, Id, nout + 1), *cts = ARENA_ARRAY(scratch, Id, nout + 1);
  for (int i = 0; i < nin; i++) {
    Id a = graph_in(g, y)[i];
    args[i] = want[i] ? g_unary(g, OP_LEAF, a) : a;
    if (want[i]) wrt[nw++] = args[i];
  }
  bool ok = graph_inline(g, body, args, ys);
  for (int k = 0; ok && k < nout; k++)
    if (ct[k]) {
      ys[ny] = ys[k];
      cts[ny++] = ct[k];
    }
  ok = ok && graph_grad(g, ys, cts, ny, wrt, nw, got);
  for (int i = 0, k = 0; ok && i < nin; i++)
    if (want[i]) out[i] = got[k++];
  arena_free(scratch);
  return ok;
}

bool graph_depends(const Graph *g, Id y, Id wrt) {
  if (y < wrt) return false;
  bool *on = mem_alloc(y - wrt + 1), found;
  on[y - wrt] = true;
  for (Id v = y; v > wrt; v--)
    for (uint32_t i = 0; on[v - wrt] && i < graph_at(g, v)->nin; i++)
      if (graph_in(g, v)[i] >= wrt) on[graph_in(g, v)[i] - wrt] = true;
  found = on[0];
  free(on);
  return found;
}
