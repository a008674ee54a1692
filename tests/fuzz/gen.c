#include "gen.h"
#include "autodiff.h"
#include "pass.h"
#include "philox.h"
#include "window.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 400, MAX_RANK_HERE = 5, MAX_SIZE = 6000 };

typedef struct Known { /* a node to build on */
  Id v;
  bool exact; /* every correct evaluation gives the same bits */
  double mag; /* of a float: no element is larger */
  bool used;
} Known;

typedef struct Gen {
  Ctx *ctx;
  Graph *g;
  const uint8_t *at, *end;
  Known pool[MAX_NODES];
  int n;
  bool smooth; /* gradients will be taken: kinks count as jumps */
  Sym b, dim_n;
} Gen;

static unsigned byte(Gen *s) { return s->at < s->end ? *s->at++ : 0; }
static int upto(Gen *s, int n) { return (int)(byte(s) % (unsigned)n); } /* 0 .. n-1 */

/* ---- what is known of a node ---- */
static DType type(const Gen *s, Id v) { return graph_dtype(s->g, v); }
static bool real(const Gen *s, Id v) { return dtype_is_float(type(s, v)); }
static int rank(const Gen *s, Id v) { return graph_rank(s->g, v); }
static Sym dim(const Gen *s, Id v, int i) { return graph_shape(s->g, v)[i]; }
static Sym num(Gen *s, int64_t n) { return sym_int(s->ctx->syms, n); }

static int64_t most(const Gen *s, Sym x) { /* the largest that a size can be */
  int64_t lo, hi;
  sym_range(s->g->facts, x, &lo, &hi);
  return hi;
}

static int64_t size(const Gen *s, Id v) {
  int64_t n = 1;
  for (int i = 0; i < rank(s, v); i++) n *= most(s, dim(s, v, i));
  return n;
}

static bool constant_dim(const Gen *s, Sym x, int64_t *n) { return sym_is_int(s->ctx->syms, x, n); }

static bool same_shape(const Gen *s, Id a, Id b) {
  if (rank(s, a) != rank(s, b)) return false;
  for (int i = 0; i < rank(s, a); i++)
    if (dim(s, a, i) != dim(s, b, i)) return false;
  return true;
}

static Known *put(Gen *s, Id v, bool exact, double mag) {
  if (!v || s->n == MAX_NODES || rank(s, v) > MAX_RANK_HERE || size(s, v) > MAX_SIZE) {
    diag_reset(s->ctx->diag); /* what the shape rules refuse is no part of the graph */
    return NULL;
  }
  s->pool[s->n] = (Known){v, exact, mag, false};
  return &s->pool[s->n++];
}

static Known *use(Known *k) {
  if (k) k->used = true;
  return k;
}

/* ---- choosing ---- */
typedef bool Fits(const Gen *, const Known *, const Known *with);

static Known *pick(Gen *s, Fits *fits, const Known *with) {
  int from = (s->n - 1 - upto(s, s->n)); /* small bytes: the newest */
  for (int i = 0; i < s->n; i++) {
    Known *k = &s->pool[(from + s->n - i) % s->n];
    if (fits(s, k, with)) return use(k);
  }
  return NULL;
}

static bool any(const Gen *s, const Known *k, const Known *w) { return (void)s, (void)k, (void)w, true; }
static bool is_real(const Gen *s, const Known *k, const Known *w) { return (void)w, real(s, k->v); }
static bool is_exact_real(const Gen *s, const Known *k, const Known *w) { return is_real(s, k, w) && k->exact; }
static bool is_number(const Gen *s, const Known *k, const Known *w) { return (void)w, type(s, k->v) != DT_BOOL; }
static bool is_int(const Gen *s, const Known *k, const Known *w) { return (void)w, dtype_is_int(type(s, k->v)); }
static bool is_bool(const Gen *s, const Known *k, const Known *w) { return (void)w, type(s, k->v) == DT_BOOL; }
static bool is_bits(const Gen *s, const Known *k, const Known *w) { return is_int(s, k, w) || is_bool(s, k, w); }
static bool has_axis(const Gen *s, const Known *k, const Known *w) { return (void)w, rank(s, k->v) > 0; }
static bool number_with_axis(const Gen *s, const Known *k, const Known *w) {
  return is_number(s, k, w) && rank(s, k->v);
}
static bool bool_with_axis(const Gen *s, const Known *k, const Known *w) { return is_bool(s, k, w) && rank(s, k->v); }
static bool exact_with_axis(const Gen *s, const Known *k, const Known *w) {
  return number_with_axis(s, k, w) && k->exact;
}
static bool goes_with(const Gen *s, const Known *k, const Known *w) {
  return type(s, k->v) == type(s, w->v) && (same_shape(s, k->v, w->v) || !rank(s, k->v) || !rank(s, w->v));
}
static bool exact_goes_with(const Gen *s, const Known *k, const Known *w) { return k->exact && goes_with(s, k, w); }
static bool condition_for(const Gen *s, const Known *k, const Known *w) {
  return is_bool(s, k, w) && (same_shape(s, k->v, w->v) || !rank(s, k->v) || !rank(s, w->v));
}
static bool number_of_type(const Gen *s, const Known *k, const Known *w) {
  return type(s, k->v) == type(s, w->v) && is_number(s, k, w);
}

static int pick_shape(Gen *s, Sym *to) {
  static const char *const shapes[] = {"B",   "B4", "4",   "",  "3B2", "BN", "24", "N3",
                                       "B14", "5",  "BN4", "N", "1",   "2B", "66"};
  const char *t = shapes[byte(s) % (sizeof shapes / sizeof *shapes)];
  int n = 0;
  for (; t[n]; n++) to[n] = t[n] == 'B' ? s->b : t[n] == 'N' ? s->dim_n : num(s, t[n] - '0');
  return n;
}

/* ---- keeping values tame ---- */
/* x times a power of two, so that no element is larger than `limit`. */
static Id within(Gen *s, Id x, double *mag, double limit) {
  if (*mag <= limit) return x;
  int e;
  frexp(*mag / limit, &e);
  *mag = ldexp(*mag, -e);
  return g_binary(s->g, OP_MUL, x, g_const(s->g, type(s, x), ldexp(1, -e)));
}

static void put_real(Gen *s, Id v, bool exact, double mag) {
  if (v && real(s, v)) v = within(s, v, &mag, 64);
  put(s, v, exact, mag);
}

static Id positive(Gen *s, Known *k, double *mag) { /* x^2 + 0.5 */
  *mag = k->mag * k->mag + 0.5;
  return g_binary(s->g, OP_ADD, g_binary(s->g, OP_MUL, k->v, k->v), g_const(s->g, type(s, k->v), 0.5));
}

/* Non-negative integers below n, of i's type and shape. */
static Id below(Gen *s, Id i, Sym n) {
  Graph *g = s->g;
  Id mask = g_const_int(g, type(s, i), 0x7fffffff), end = g_convert(g, type(s, i), g_dim(g, n));
  return g_binary(g, OP_REM, g_binary(g, OP_AND, i, mask), end);
}

/* ---- element by element ---- */
static bool jumps(const Gen *s, Op op) {
  switch (op) {
  case OP_SIGN:
  case OP_FLOOR:
  case OP_CEIL:
  case OP_ROUND:
  case OP_TRUNC:
  case OP_REM: return true;
  case OP_ABS:
  case OP_MAXIMUM:
  case OP_MINIMUM:
  case OP_REDUCE_MAX:
  case OP_REDUCE_MIN:
  case OP_WINDOW_MAX: return s->smooth;
  case OP_SELECT_SCATTER:
  case OP_SELECT_GATHER: return true;
  default: return OP_INFO[op].cls == CLASS_COMPARE;
  }
}

static bool is_predicate(Op op) { return op == OP_IS_NAN || op == OP_IS_INF || op == OP_IS_FINITE; }

static void unary(Gen *s, Op op) {
  bool floats = !strcmp(OP_INFO[op].dtypes, "F"), bits = !strcmp(OP_INFO[op].dtypes, "IB"),
       numbers = !strcmp(OP_INFO[op].dtypes, "N");
  Known *k = pick(s,
                  jumps(s, op) ? is_exact_real
                  : floats     ? is_real
                  : bits       ? is_bits
                  : numbers    ? is_number
                               : any,
                  NULL);
  if (!k) return;
  Id x = k->v;
  double mag = k->mag, out = mag;
  if (op == OP_EXP || op == OP_EXPM1) x = within(s, x, &mag, 4), out = 55;
  if (op == OP_LOG || op == OP_LOG1P || op == OP_SQRT || op == OP_RSQRT)
    x = positive(s, k, &mag), out = op == OP_SQRT ? sqrt(mag) : op == OP_RSQRT ? 1.5 : 10;
  if (op == OP_SIN || op == OP_COS || op == OP_TANH || op == OP_SIGMOID || op == OP_ERF || op == OP_SIGN) out = 1;
  if (op == OP_FLOOR || op == OP_CEIL || op == OP_ROUND) out = mag + 1;
  bool exact = k->exact && (!floats || jumps(s, op)); /* bits, integers, neg, abs, and steps */
  put_real(s, g_unary(s->g, op, x), exact || is_predicate(op), out);
}

static void binary(Gen *s, Op op) {
  Graph *g = s->g;
  bool bits = !strcmp(OP_INFO[op].dtypes, "IB"), ints = !strcmp(OP_INFO[op].dtypes, "I"),
       all = !strcmp(OP_INFO[op].dtypes, "A");
  Known *p = pick(s, bits ? is_bits : ints ? is_int : all ? any : is_number, NULL);
  if (!p) return;
  bool exact_only = real(s, p->v) && jumps(s, op);
  if (exact_only) p = pick(s, is_exact_real, NULL);
  Known *q = p ? pick(s, exact_only ? exact_goes_with : goes_with, p) : NULL;
  if (!q) return;
  Id x = p->v, y = q->v;
  double a = p->mag, b = q->mag, mag = a + b;
  if (!real(s, x)) {
    put(s, g_binary(g, op, x, y), p->exact && q->exact, 0);
    return;
  }
  if (op == OP_MUL) mag = a * b;
  if (op == OP_DIV) y = positive(s, q, &b), mag = 2 * a;
  if (op == OP_REM) y = g_const(g, type(s, x), 1.5), mag = 1.5;
  if (op == OP_POW) {
    x = positive(s, p, &a);
    y = within(s, y, &b, 2);
    mag = fmax(a * a, 4);
  }
  if (op == OP_MAXIMUM || op == OP_MINIMUM) mag = fmax(a, b);
  bool exact = p->exact && q->exact && (jumps(s, op) || op == OP_MAXIMUM || op == OP_MINIMUM);
  put_real(s, g_binary(g, op, x, y), exact, mag);
}

static void select_(Gen *s) {
  Known *p = pick(s, any, NULL), *q = pick(s, goes_with, p), shape = rank(s, p->v) ? *p : *q,
        *c = pick(s, condition_for, &shape);
  if (!c) return;
  put(s, g_select(s->g, c->v, p->v, q->v), c->exact && p->exact && q->exact, fmax(p->mag, q->mag));
}

static void convert(Gen *s) {
  static const DType to[] = {DT_F32, DT_F64, DT_I32, DT_I64, DT_BOOL};
  DType d = to[upto(s, 5)];
  Known *k = pick(s, dtype_is_float(d) ? any : exact_with_axis, NULL);
  if (!k) return;
  DType from = type(s, k->v);
  if (d == DT_F64 && from == DT_F32 && !k->exact) return; /* an f64 no better than an f32: no limit fits it */
  double mag = dtype_is_float(from) ? k->mag : from == DT_BOOL ? 1 : from == DT_I32 ? 0x1p31 : 0x1p63;
  bool narrows = d == DT_F32 && from != DT_BOOL && from != DT_F32; /* wide evaluation does not round there */
  put_real(s, g_convert(s->g, d, k->v), k->exact && !narrows && (d != DT_F64 || from != DT_I64), mag);
}

/* ---- moves ---- */
static void broadcast(Gen *s) {
  Known *k = pick(s, any, NULL);
  Sym shape[MAX_RANK];
  int axes[MAX_RANK], r = 0, n = rank(s, k->v), extra = 1 + upto(s, 2);
  for (int i = 0; i < n || extra;) {
    if (extra && (i == n || upto(s, 2))) {
      int c = upto(s, 4);
      shape[r++] = c == 0 ? s->b : c == 1 ? s->dim_n : num(s, c);
      extra--;
    } else {
      axes[i] = r;
      shape[r++] = dim(s, k->v, i++);
    }
  }
  if (r <= MAX_RANK_HERE) put(s, g_broadcast(s->g, k->v, shape, r, axes), k->exact, k->mag);
}

static void reshape(Gen *s) {
  Known *k = pick(s, any, NULL);
  Sym shape[MAX_RANK + 2];
  int n = rank(s, k->v), r = 0, kind = upto(s, 4), axis = n ? upto(s, n) : 0;
  int64_t d;
  for (int i = 0; i < n; i++) {
    Sym x = dim(s, k->v, i);
    if (kind == 0) { /* flat */
      shape[0] = i ? sym_mul(s->ctx->syms, shape[0], x) : x;
      r = 1;
    } else if (kind == 1 && i == axis && i + 1 < n) { /* two axes to one */
      shape[r++] = sym_mul(s->ctx->syms, x, dim(s, k->v, ++i));
    } else if (kind == 2 && i == axis && constant_dim(s, x, &d) && d % 2 == 0) { /* one to two */
      shape[r++] = num(s, 2);
      shape[r++] = num(s, d / 2);
    } else {
      shape[r++] = x;
    }
  }
  if (kind == 3) shape[r++] = num(s, 1);
  put(s, g_reshape(s->g, k->v, shape, r), k->exact, k->mag);
}

static void transpose(Gen *s) {
  Known *k = pick(s, has_axis, NULL);
  if (!k) return;
  int axes[MAX_RANK], n = rank(s, k->v);
  for (int i = 0; i < n; i++) axes[i] = i;
  for (int i = n - 1; i > 0; i--) {
    int j = upto(s, i + 1), x = axes[i];
    axes[i] = axes[j], axes[j] = x;
  }
  put(s, g_transpose(s->g, k->v, axes), k->exact, k->mag);
}

static void slice(Gen *s) {
  Known *k = pick(s, has_axis, NULL);
  if (!k) return;
  Sym from[MAX_RANK], to[MAX_RANK];
  int64_t step[MAX_RANK], n;
  for (int i = 0; i < rank(s, k->v); i++) {
    Sym x = dim(s, k->v, i);
    int kind = upto(s, 4);
    step[i] = 1 + upto(s, 3);
    from[i] = num(s, 0), to[i] = x;
    if (constant_dim(s, x, &n) && n) {
      int a = upto(s, (int)n), b = a + 1 + upto(s, (int)n - a);
      from[i] = num(s, a), to[i] = num(s, b);
    } else if (kind == 0) {
      to[i] = num(s, 1);
    } else if (kind == 1) {
      from[i] = sym_sub(s->ctx->syms, x, num(s, 1));
    }
  }
  put(s, g_slice(s->g, k->v, from, to, step), k->exact, k->mag);
}

static void pad(Gen *s) {
  Known *k = pick(s, has_axis, NULL);
  if (!k) return;
  Sym lo[MAX_RANK], hi[MAX_RANK];
  int64_t interior[MAX_RANK], n;
  for (int i = 0; i < rank(s, k->v); i++) {
    bool crop = constant_dim(s, dim(s, k->v, i), &n) && n > 2;
    lo[i] = num(s, upto(s, 3) - crop);
    hi[i] = num(s, upto(s, 3) - crop);
    interior[i] = upto(s, 4) == 3;
  }
  put(s, g_pad(s->g, k->v, lo, hi, interior), k->exact, k->mag);
}

static int some_axes(Gen *s, Id v, int *axes) { /* at least one */
  int n = 0, bits = upto(s, 1 << rank(s, v));
  for (int i = 0; i < rank(s, v); i++)
    if (bits >> i & 1) axes[n++] = i;
  if (!n) axes[n++] = 0;
  return n;
}

static void reverse(Gen *s) {
  Known *k = pick(s, has_axis, NULL);
  int axes[MAX_RANK];
  if (k) put(s, g_reverse(s->g, k->v, axes, some_axes(s, k->v, axes)), k->exact, k->mag);
}

static void concat(Gen *s) {
  Known *k = pick(s, has_axis, NULL), *other = NULL;
  if (!k) return;
  int axis = upto(s, rank(s, k->v));
  for (int i = 0; i < s->n && !other; i++) {
    Known *o = &s->pool[i];
    bool fits = type(s, o->v) == type(s, k->v) && rank(s, o->v) == rank(s, k->v) && o->v != k->v;
    for (int j = 0; fits && j < rank(s, k->v); j++) fits = j == axis || dim(s, o->v, j) == dim(s, k->v, j);
    if (fits) other = use(o);
  }
  if (!other) other = k;
  put(s, g_concat(s->g, (Id[]){k->v, other->v, k->v}, 2 + upto(s, 2), axis), k->exact && other->exact,
      fmax(k->mag, other->mag));
}

/* ---- indices ---- */
static Known *index_for(Gen *s, int max_rank) { /* an exact integer of small rank */
  Known *k = pick(s, is_int, NULL);
  if (k && k->exact && rank(s, k->v) <= max_rank) return k;
  Sym shape[1] = {num(s, 3)};
  int n = upto(s, 2);
  if (max_rank < n) n = 0;
  Id v = n ? g_iota(s->g, DT_I64, shape, 1, 0) : g_const_int(s->g, DT_I64, upto(s, 8));
  return put(s, v, true, 0);
}

static void gather(Gen *s, bool scatter) {
  Graph *g = s->g;
  Known *k = pick(s, scatter ? number_with_axis : has_axis, NULL);
  if (!k) return;
  int axis = upto(s, rank(s, k->v)), n = 1 + (axis + 1 < rank(s, k->v) && upto(s, 2));
  Known *i = index_for(s, MAX_RANK_HERE - rank(s, k->v) + n);
  if (!i) return;
  Id index[2];
  for (int j = 0; j < n; j++) index[j] = below(s, i->v, dim(s, k->v, axis + j));
  Id picked = g_gather(g, k->v, index, n, axis);
  if (!scatter || !picked) {
    put(s, picked, k->exact, k->mag);
    return;
  }
  Id update = real(s, k->v) ? g_unary(g, OP_SIN, picked) : picked;
  put_real(s, g_scatter_add(g, k->v, index, n, axis, update), !real(s, k->v) && k->exact,
           k->mag + (double)size(s, i->v));
}

static void dynamic(Gen *s, bool update) {
  Graph *g = s->g;
  SymTab *t = s->ctx->syms;
  Known *k = pick(s, has_axis, NULL), *i = index_for(s, 0);
  if (!k || !i) return;
  int axis = upto(s, rank(s, k->v));
  Sym x = dim(s, k->v, axis), take = num(s, 1);
  int64_t n;
  if (constant_dim(s, x, &n) && n) take = num(s, 1 + upto(s, (int)n));
  Id start = below(s, g_convert(g, DT_I64, i->v), sym_add(t, sym_sub(t, x, take), num(s, 1)));
  Id block = g_dynamic_slice(g, k->v, &start, &axis, &take, 1);
  if (!update || !block) {
    put(s, block, k->exact, k->mag);
    return;
  }
  Id zero = g_const_int(g, DT_I64, 0), new_block = real(s, k->v) ? g_unary(g, OP_COS, block) : block;
  put(s, g_dynamic_update(g, k->v, &zero, &axis, 1, new_block), !real(s, k->v) && k->exact, fmax(k->mag, 1));
}

/* ---- reductions and products ---- */
static void reduce(Gen *s, Op op) {
  bool bools = op == OP_REDUCE_ANY || op == OP_REDUCE_ALL;
  Known *k = pick(s, bools ? bool_with_axis : jumps(s, op) ? exact_with_axis : number_with_axis, NULL);
  if (!k) return;
  int axes[MAX_RANK], n = some_axes(s, k->v, axes);
  double mag = k->mag;
  for (int i = 0; op == OP_REDUCE_SUM && i < n; i++) mag *= (double)most(s, dim(s, k->v, axes[i]));
  put_real(s, g_reduce(s->g, op, k->v, axes, n), k->exact && (op != OP_REDUCE_SUM || !real(s, k->v)), mag);
}

static void arg(Gen *s, Op op) {
  Known *k = pick(s, exact_with_axis, NULL);
  if (k) put(s, g_arg(s->g, op, k->v, upto(s, rank(s, k->v))), true, 0);
}

static void dot(Gen *s) {
  Known *p = pick(s, number_with_axis, NULL), *q = p ? pick(s, number_of_type, p) : NULL;
  if (!q) return;
  int cx[MAX_RANK], cy[MAX_RANK], nc = 0, bx[MAX_RANK], by[MAX_RANK], nb = 0;
  bool used[MAX_RANK] = {0};
  double mag = p->mag * q->mag;
  for (int i = 0; i < rank(s, p->v); i++) {
    int kind = upto(s, 3), j = 0;
    while (j < rank(s, q->v) && (used[j] || dim(s, q->v, j) != dim(s, p->v, i))) j++;
    if (kind == 2 || j == rank(s, q->v)) continue;
    used[j] = true;
    if (kind == 0) {
      cx[nc] = i, cy[nc++] = j;
      mag *= (double)most(s, dim(s, p->v, i));
    } else {
      bx[nb] = i, by[nb++] = j;
    }
  }
  if (rank(s, p->v) + rank(s, q->v) - 2 * nc - nb > MAX_RANK_HERE) return;
  put_real(s, g_dot(s->g, p->v, q->v, cx, cy, nc, bx, by, nb), p->exact && q->exact && !real(s, p->v), mag);
}

/* ---- windows ---- */
/* What lies around the operand, so that a window fits even one element of axis i. */
static void around(Gen *s, Windows *w, int i, int64_t size) {
  int64_t draw = upto(s, 6), lo = draw / 2, need = (size - 1) * w->step[i] - lo;
  w->size[i] = num(s, size);
  w->lo[i] = num(s, lo);
  w->hi[i] = num(s, (need > 0 ? need : 0) + draw % 2);
}

/* Over x as [1, 1, ..] or, where it has three axes or more, as it is. */
static void conv(Gen *s) {
  Known *k = pick(s, number_with_axis, NULL);
  if (!k || rank(s, k->v) > 5) return;
  Graph *g = s->g;
  DType d = type(s, k->v);
  Sym shape[MAX_RANK], ws[5];
  int n = 0, r = rank(s, k->v);
  int64_t c = 1, groups = 1, terms = 1;
  bool flat = r < 3 || !constant_dim(s, dim(s, k->v, 1), &c) || c < 1;
  if (flat) shape[n++] = num(s, 1), shape[n++] = num(s, c = 1);
  for (int i = 0; i < r; i++) shape[n++] = dim(s, k->v, i);
  if (n > MAX_RANK_HERE) return;
  if (c % 2 == 0 && upto(s, 2)) groups = 2;
  Windows w = window_plain(g, n - 2);
  ws[0] = num(s, groups * (1 + upto(s, 3)));
  ws[1] = num(s, c / groups);
  for (int i = 0; i < n - 2; i++) {
    int64_t size = 1 + upto(s, 3);
    w.stride[i] = 1 + upto(s, 2), w.step[i] = 1 + upto(s, 2), w.base[i] = 1 + upto(s, 8) / 6;
    around(s, &w, i, size);
    ws[2 + i] = w.size[i];
    terms *= size;
  }
  Id kernel = g_iota(g, d, ws, n, upto(s, n));
  if (real(s, k->v)) kernel = g_unary(g, OP_COS, kernel);
  Id y = g_conv(g, g_reshape(g, k->v, shape, n), kernel, &w, groups, 1, upto(s, 2));
  put_real(s, y, k->exact && !real(s, k->v), k->mag * (double)(terms * c / groups));
}

static void pool(Gen *s, Op op) {
  Known *k = pick(s, jumps(s, op) ? exact_with_axis : number_with_axis, NULL);
  if (!k) return;
  Graph *g = s->g;
  Windows w = window_plain(g, rank(s, k->v));
  int64_t terms = 1;
  for (int i = 0; i < w.n; i++) {
    int64_t size = 1 + upto(s, 3);
    w.stride[i] = 1 + upto(s, 2), w.step[i] = 1 + upto(s, 2), w.base[i] = 1 + upto(s, 8) / 6;
    around(s, &w, i, size);
    if (op != OP_WINDOW_SUM) { /* each window begins at an element: no infinities */
      w.base[i] = 1;
      w.lo[i] = num(s, 0);
      w.hi[i] = num(s, (size - 1) * w.step[i]);
    }
    terms *= size;
  }
  bool ints = !real(s, k->v);
  if (op == OP_WINDOW_SUM || op == OP_WINDOW_MAX) {
    double mag = k->mag * (double)(op == OP_WINDOW_SUM ? terms : 1);
    put_real(s, g_window(g, op, k->v, 0, &w), k->exact && (ints || op == OP_WINDOW_MAX), mag);
    return;
  }
  Id other = ints ? k->v : g_unary(g, OP_SIN, k->v);
  if (op == OP_SELECT_SCATTER) {
    other = g_window(g, OP_WINDOW_SUM, other, 0, &w);
    put_real(s, g_window(g, op, k->v, other, &w), k->exact && ints, (double)(terms * terms));
  } else {
    put_real(s, g_window(g, op, k->v, other, &w), k->exact && ints, 1);
  }
}

/* ---- leaves and bodies ---- */
static void leaf(Gen *s, Op op) {
  Sym shape[MAX_RANK];
  int n = pick_shape(s, shape);
  static const DType types[] = {DT_F32, DT_I64, DT_F64, DT_I32};
  DType d = types[upto(s, 4)];
  if (op == OP_DIM)
    put(s, g_dim(s->g, n ? sym_product(s->ctx->syms, shape, n) : s->b), true, 0);
  else if (op == OP_CONSTANT)
    put(s, g_full(s->g, d, upto(s, 33) / 8.0 - 2, shape, n), true, 2);
  else if (op == OP_IOTA && n)
    put(s, g_iota(s->g, d, shape, n, upto(s, n)), true, 32);
  else if (op == OP_RANDOM) {
    static const char *const keys[] = {"net.drop", "noise", "a.b.c"};
    bool bits = d == DT_I32 || d == DT_I64;
    put(s, g_random(s->g, bits ? "bits" : "uniform", bits ? DT_I32 : d, shape, n, keys[upto(s, 3)], 0), true, 1);
  }
}

/* (x, y) -> x sin(y) and, as a second result, x + 1; x alone where x is no float. */
static void body(Gen *s, Op op) {
  Known *p = pick(s, any, NULL), *q = pick(s, goes_with, p);
  Graph *g = s->g, *b = graph_new(s->ctx, g);
  bool two = upto(s, 2), f = real(s, p->v);
  Sym shape[2][MAX_RANK];
  Id in[2], args[2] = {p->v, q->v};
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < rank(s, args[k]); i++) shape[k][i] = dim(s, args[k], i);
    in[k] = g_input(b, type(s, args[k]), shape[k], rank(s, args[k]));
  }
  Id first = f ? g_binary(b, OP_MUL, in[0], g_unary(b, OP_SIN, in[1])) : in[0];
  Id second = f ? g_binary(b, OP_ADD, in[0], g_const(b, type(s, p->v), 1)) : in[1];
  vec_push(s->ctx->arena, &b->output, first);
  if (two) vec_push(s->ctx->arena, &b->output, second);
  Id v = g_body(g, op, "fuzzed", b, args, 2);
  put(s, g_get(g, v, 0), !f && p->exact, p->mag);
  if (two) put_real(s, g_get(g, v, 1), !f && q->exact, p->mag + 1);
}

static void step(Gen *s) {
  Op op = (Op)(1 + upto(s, OP_COUNT - 1));
  switch (OP_INFO[op].cls) {
  case CLASS_LEAF: leaf(s, op); break;
  case CLASS_UNARY: unary(s, op); break;
  case CLASS_BINARY:
  case CLASS_COMPARE: binary(s, op); break;
  case CLASS_SELECT: select_(s); break;
  case CLASS_CONVERT: convert(s); break;
  case CLASS_REDUCE: reduce(s, op); break;
  case CLASS_ARG: arg(s, op); break;
  case CLASS_DOT: dot(s); break;
  case CLASS_WINDOW:
    if (op == OP_CONV_GENERAL)
      conv(s);
    else
      pool(s, op);
    break;
  case CLASS_BODY:
    if (op != OP_GET) body(s, op);
    break;
  case CLASS_MOVE:
    if (op == OP_BROADCAST) broadcast(s);
    if (op == OP_RESHAPE) reshape(s);
    if (op == OP_TRANSPOSE) transpose(s);
    if (op == OP_SLICE) slice(s);
    if (op == OP_PAD) pad(s);
    if (op == OP_REVERSE) reverse(s);
    if (op == OP_CONCAT) concat(s);
    break;
  case CLASS_INDEX:
    if (op == OP_GATHER || op == OP_SCATTER_ADD)
      gather(s, op == OP_SCATTER_ADD);
    else
      dynamic(s, op == OP_DYNAMIC_UPDATE);
    break;
  default: dot(s); /* Loop IR rows: products are worth more tries */
  }
}

/* ---- whole graphs ---- */
static void inputs(Gen *s) {
  static const DType types[] = {DT_F32, DT_F32, DT_F64, DT_I32, DT_I64, DT_BOOL};
  int n = 1 + upto(s, FUZZ_MAX_INPUTS);
  for (int i = 0; i < n; i++) {
    Sym shape[MAX_RANK];
    int r = pick_shape(s, shape);
    put(s, g_input(s->g, types[i ? upto(s, 6) : 0], shape, r), true, 4);
  }
}

static void outputs(Gen *s) {
  Arena *a = s->ctx->arena;
  Id ys[8], wrt[FUZZ_MAX_INPUTS], grad[FUZZ_MAX_INPUTS];
  int ny = 0, nw = 0;
  for (int i = s->n; i-- > 0 && s->g->output.n < 6;) {
    if (s->pool[i].used && i + 1 < s->n) continue;
    vec_push(a, &s->g->output, s->pool[i].v);
    if (real(s, s->pool[i].v)) ys[ny++] = s->pool[i].v;
  }
  for (uint32_t i = 0; i < s->g->input.n; i++)
    if (real(s, s->g->input.at[i])) wrt[nw++] = s->g->input.at[i];
  if (!s->smooth || !ny || !nw) return;
  if (!graph_grad(s->g, ys, NULL, ny, wrt, nw, grad)) BUG("no gradient: %s", diag_first(s->ctx->diag, NULL));
  for (int i = 0; i < nw; i++)
    if (grad[i]) vec_push(a, &s->g->output, grad[i]);
}

Graph *fuzz_graph(Ctx *ctx, const uint8_t *bytes, size_t n) {
  Gen *s = mem_alloc(sizeof *s);
  *s = (Gen){.ctx = ctx, .g = graph_new(ctx, NULL), .at = bytes, .end = bytes + n};
  const char *b = str_intern(ctx->names, "B"), *other = str_intern(ctx->names, "N");
  SymFacts *facts = sym_facts_new(ctx->arena, ctx->syms);
  sym_fact_range(facts, b, 1, FUZZ_MAX_B);
  sym_fact_range(facts, other, 1, FUZZ_MAX_N);
  s->g->facts = facts;
  s->b = sym_var(ctx->syms, b);
  s->dim_n = sym_var(ctx->syms, other);
  s->smooth = upto(s, 3) == 1;
  inputs(s);
  for (int left = 4 + upto(s, 28); left; left--) step(s);
  outputs(s);
  Graph *g = s->g;
  free(s);
  return g;
}

Program *fuzz_program(Ctx *ctx, const uint8_t *bytes, size_t n) {
  Program *p = ARENA_NEW(ctx->arena, Program);
  Entry e = {.name = str_intern(ctx->names, "f"), .graph = fuzz_graph(ctx, bytes, n)};
  Graph *g = e.graph;
  *p = (Program){.ctx = ctx, .name = "fuzz"};
  e.facts = (SymFacts *)g->facts;
  for (int k = 0; k < 2; k++) {
    const char *name = str_intern(ctx->names, k ? "N" : "B");
    Dim d = {sym_var(ctx->syms, name), name, 1, k ? FUZZ_MAX_N : FUZZ_MAX_B, true};
    vec_push(ctx->arena, &e.dims, d);
  }
  for (int side = 0; side < 2; side++)
    for (uint32_t i = 0; i < (side ? g->output.n : g->input.n); i++) {
      Id v = side ? g->output.at[i] : g->input.at[i];
      Port port = {.name = str_intern(ctx->names, arena_printf(ctx->arena, "%c%u", side ? 'y' : 'x', i)),
                   .dtype = graph_dtype(g, v),
                   .rank = graph_rank(g, v),
                   .node = v};
      for (int k = 0; k < port.rank; k++) port.shape[k] = graph_shape(g, v)[k];
      if (side)
        vec_push(ctx->arena, &e.outputs, port);
      else
        vec_push(ctx->arena, &e.inputs, port);
    }
  vec_push(ctx->arena, &p->entries, e);
  return p;
}

static Id halve_node(const Graph *from, Id v, Graph *to, const Id *map, DType half) {
  const Node *x = graph_at(from, v);
  Op op = x->op;
  Attrs a = {0};
  const char *name;
  int len;
  char kind;
  const Sym *shape = graph_shape(from, v);
  if (op == OP_INPUT) return g_input(to, x->dtype == DT_F64 ? half : x->dtype, shape, x->rank);
  if (x->dtype != DT_F64) return graph_copy_node(from, v, to, map);
  if (op == OP_RANDOM) /* there is none of 16 bits */
    return g_convert(to, half, g_random(to, "uniform", DT_F32, shape, x->rank, graph_attr_str(from, v, "key"), 0));
  Id in[16];
  if (x->nword > sizeof a.word / sizeof *a.word || x->nin > 16) BUG("%s is too long", OP_INFO[op].text);
  if (x->nword) memcpy(a.word, from->word.at + x->attr, x->nword * sizeof *a.word);
  a.n = (int)x->nword;
  for (int k = 0, at = 0; op_attr(op, k, &name, &len, &kind); k++, at += 1 + (int)a.word[at])
    if (kind == 'd') a.word[at + 1] = half;
  for (uint32_t i = 0; i < x->nin; i++) in[i] = map[graph_in(from, v)[i]];
  return graph_node(to, op, in, (int)x->nin, &a);
}

static bool halve(void *ctx, const Graph *from, Graph *to, Id *map) {
  memset(map, 0, from->node.n * sizeof *map);
  for (Id v = 1; v < from->node.n; v++)
    if (!(map[v] = halve_node(from, v, to, map, *(DType *)ctx))) return false;
  for (uint32_t i = 0; i < from->output.n; i++) vec_push(to->ctx->arena, &to->output, map[from->output.at[i]]);
  return true;
}

static void halve_ports(const Entry *e, Port *p, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) p[i].dtype = graph_dtype(e->graph, p[i].node);
}

bool fuzz_halve(Program *p, DType half) {
  Entry *e = &p->entries.at[0];
  if (!program_map(p, pass_inline_all, NULL) || !program_map(p, halve, &half)) return false;
  halve_ports(e, e->inputs.at, e->inputs.n);
  halve_ports(e, e->outputs.at, e->outputs.n);
  return true;
}

void fuzz_add(Program *p, uint32_t seed, bool halves) {
  enum { BYTES = 160 };
  uint8_t bytes[BYTES];
  Draw d = {seed, 7, 0, 0};
  for (int i = 0; i < BYTES; i++) bytes[i] = (uint8_t)philox_word(&d, (uint64_t)i);
  Program *made = fuzz_program(p->ctx, bytes, 20 + seed % (BYTES - 20));
  if (halves && !fuzz_halve(made, seed % 2 ? DT_F16 : DT_BF16)) BUG("%s", diag_first(p->ctx->diag, NULL));
  Entry e = made->entries.at[0];
  e.name = str_intern(p->ctx->names, arena_printf(p->ctx->arena, "f%u", seed));
  entry_roots(&e);
  vec_push(p->ctx->arena, &p->entries, e);
}

bool fuzz_lookup(void *ctx, const char *name, int64_t *value) {
  const FuzzDims *d = ctx;
  *value = *name == 'B' ? d->b : d->n;
  return !strcmp(name, "B") || !strcmp(name, "N");
}

/* Eighths, which are often equal, zero and exact in sums; and as often any number of 24 bits. In [-4, 4]. */
static double fuzz_real(int64_t bits) {
  return bits & 1 ? (double)(bits / 2 % 65 - 32) / 8 : (double)(bits / 2 % (1 << 24)) / (1 << 21) - 4;
}

void fuzz_inputs(const Graph *g, FuzzDims d, uint64_t seed, Arena *a, Tensor *in) {
  for (uint32_t i = 0; i < g->input.n; i++) {
    Id v = g->input.at[i];
    int64_t dims[MAX_RANK];
    DType t = graph_dtype(g, v);
    for (int k = 0; k < graph_rank(g, v); k++)
      if (!sym_eval(g->ctx->syms, graph_shape(g, v)[k], fuzz_lookup, &d, &dims[k])) BUG("a size without a value");
    in[i] = tensor_new(a, t, dims, graph_rank(g, v));
    Draw draw = {seed, i, 0, 0};
    for (int64_t k = 0; k < tensor_count(&in[i]); k++) {
      int64_t bits = philox_bits(&draw, (uint64_t)k);
      tensor_set(&in[i], k,
                 dtype_is_float(t) ? (Scalar){.f = fuzz_real(bits)}
                 : t == DT_BOOL    ? (Scalar){.i = bits & 1}
                                   : (Scalar){.i = bits % 19 - 9});
    }
  }
}
