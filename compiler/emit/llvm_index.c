/* Indices as polynomials over atoms, and addresses. See llvm_gen.h. */
#include "abi.h"
#include "integer.h"
#include "llvm_gen.h"
#include <string.h>

enum { K_CONST = 1, K_ADD, K_MUL, K_FLOOR_DIV, K_FLOOR_MOD, K_MIN, K_MAX, K_GEP };

/* ---- scopes and known results ---- */
int gen_depth(const Gen *g) { return g->nscope - 1; }

void scope_push(Gen *g, bool loop, LLVMBasicBlockRef pre) {
  if (g->nscope == GEN_SCOPES) {
    gen_refuse(g, "loops and branches nest deeper than %d", GEN_SCOPES);
    g->nscope--; /* keeps going on a wrong scope; the object is thrown away */
  }
  g->scope[g->nscope++] = (Scope){loop, pre, g->known.n};
}

static uint32_t known_slot(uint32_t op, Atom a, Atom b) {
  return (op * 0x9E3779B1u ^ a * 0x85EBCA77u ^ b * 0xC2B2AE3Du) >> 7 & (KNOWN_SLOTS - 1);
}

static void known_add(Gen *g, uint32_t op, Atom a, Atom b, Atom r) {
  uint32_t *s = &g->known_slot[known_slot(op, a, b)];
  vec_push(g->arena, &g->known, (Known){op, a, b, r, *s, 0});
  *s = g->known.n;
}

/* What was computed before an outer loop is kept; the rest does not dominate what follows. */
void scope_pop(Gen *g) {
  uint32_t from = g->scope[--g->nscope].known, n = g->known.n;
  for (uint32_t i = n; i-- > from;) {
    Known *e = &g->known.at[i];
    g->known_slot[known_slot(e->op, e->a, e->b)] = e->next;
  }
  g->known.n = from;
  for (uint32_t i = from; i < n; i++) {
    Known e = g->known.at[i];
    if (e.home < (uint32_t)g->nscope) {
      known_add(g, e.op, e.a, e.b, e.r);
      vec_last(&g->known).home = e.home;
    }
  }
}

Atom atom_new(Gen *g, LLVMValueRef v, int depth, int64_t lo, int64_t hi, int64_t multiple) {
  if (!g->atom.n) vec_push(g->arena, &g->atom, (AtomInfo){0});
  vec_push(g->arena, &g->atom, (AtomInfo){v, depth, lo, hi, multiple});
  return g->atom.n - 1;
}

static int64_t sat_add(int64_t a, int64_t b) {
  int64_t r;
  if (a == INT64_MIN || b == INT64_MIN) return INT64_MIN;
  if (a == INT64_MAX || b == INT64_MAX) return INT64_MAX;
  return __builtin_add_overflow(a, b, &r) ? (a > 0 ? INT64_MAX : INT64_MIN) : r;
}
static int64_t sat_mul(int64_t a, int64_t b) {
  int64_t r;
  if (!a || !b) return 0;
  if (a == INT64_MIN || a == INT64_MAX || b == INT64_MIN || b == INT64_MAX || __builtin_mul_overflow(a, b, &r))
    return (a > 0) == (b > 0) ? INT64_MAX : INT64_MIN;
  return r;
}
static Atom known_find(Gen *g, uint32_t op, Atom a, Atom b) {
  for (uint32_t i = g->known_slot[known_slot(op, a, b)]; i; i = g->known.at[i - 1].next) {
    Known *e = &g->known.at[i - 1];
    if (e->op == op && e->a == a && e->b == b) return e->r;
  }
  return 0;
}

/* Moves the builder to the outermost place where something of this depth may stand; returns the scope it is in. */
static int place(Gen *g, int depth) {
  for (int s = depth + 1; s < g->nscope; s++)
    if (g->scope[s].loop) {
      LLVMPositionBuilderBefore(g->b, LLVMGetBasicBlockTerminator(g->scope[s].pre));
      return s - 1;
    }
  return g->nscope - 1;
}

static Atom atom_const(Gen *g, int64_t c) {
  Atom a = (uint32_t)c, b = (uint32_t)((uint64_t)c >> 32), r = known_find(g, K_CONST, a, b);
  if (r) return r;
  r = atom_new(g, LLVMConstInt(g->t_i64, (uint64_t)c, 1), 0, c, c, c ? (c < 0 ? -c : c) : INT64_MAX);
  known_add(g, K_CONST, a, b, r);
  vec_last(&g->known).home = 0;
  return r;
}

static LLVMValueRef int_like(Gen *g, LLVMTypeRef t, uint64_t v) { /* of an integer or a vector of them */
  bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;
  return gen_splat(g, LLVMConstInt(vector ? LLVMGetElementType(t) : t, v, 0), vector ? (int)LLVMGetVectorSize(t) : 1);
}

/* Floor division and remainder: unsigned where nothing is negative, else with a correction. */
static LLVMValueRef floor_op(Gen *g, bool mod, LLVMValueRef x, LLVMValueRef y, bool positive, int64_t pow2) {
  LLVMBuilderRef b = g->b;
  LLVMTypeRef t = LLVMTypeOf(x);
  if (pow2)
    return mod ? LLVMBuildAnd(b, x, LLVMBuildSub(b, y, int_like(g, t, 1), ""), "")
               : LLVMBuildAShr(b, x, int_like(g, t, (uint64_t)__builtin_ctzll((uint64_t)pow2)), "");
  if (positive) return mod ? LLVMBuildURem(b, x, y, "") : LLVMBuildUDiv(b, x, y, "");
  LLVMValueRef zero = LLVMConstNull(t), r = LLVMBuildSRem(b, x, y, "");
  LLVMValueRef off = LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntNE, r, zero, ""),
                                  LLVMBuildICmp(b, LLVMIntSLT, LLVMBuildXor(b, r, y, ""), zero, ""), "");
  if (mod) return LLVMBuildSelect(b, off, LLVMBuildAdd(b, r, y, ""), r, "");
  LLVMValueRef q = LLVMBuildSDiv(b, x, y, "");
  return LLVMBuildSelect(b, off, LLVMBuildSub(b, q, int_like(g, t, 1), ""), q, "");
}

static Atom atom_op(Gen *g, uint32_t op, Atom a, Atom b) {
  if ((op == K_ADD || op == K_MUL || op == K_MIN || op == K_MAX) && a > b) {
    Atom t = a;
    a = b;
    b = t;
  }
  Atom r = known_find(g, op, a, b);
  if (r) return r;
  AtomInfo x = g->atom.at[a], y = g->atom.at[b];
  int depth = x.depth > y.depth ? x.depth : y.depth;
  int64_t lo = INT64_MIN, hi = INT64_MAX, multiple = 1;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
  int home = place(g, depth);
  LLVMValueRef v = NULL;
  switch (op) {
  case K_ADD:
    v = LLVMBuildAdd(g->b, x.v, y.v, "");
    lo = sat_add(x.lo, y.lo), hi = sat_add(x.hi, y.hi), multiple = gcd(x.multiple, y.multiple);
    break;
  case K_MUL:
    v = LLVMBuildMul(g->b, x.v, y.v, "");
    if (x.lo >= 0 && y.lo >= 0) lo = sat_mul(x.lo, y.lo), hi = sat_mul(x.hi, y.hi);
    multiple = sat_mul(x.multiple, y.multiple);
    if (multiple == INT64_MAX) multiple = x.multiple;
    break;
  case K_FLOOR_DIV:
  case K_FLOOR_MOD: {
    bool one = y.lo == y.hi && y.lo > 0;
    LLVMValueRef d = y.v;
    if (y.lo <= 0 && y.hi >= 0)
      d = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, d, LLVMConstNull(g->t_i64), ""),
                          LLVMConstInt(g->t_i64, 1, 0), d, "");
    v = floor_op(g, op == K_FLOOR_MOD, x.v, d, x.lo >= 0 && y.lo >= 0, one && !(y.lo & (y.lo - 1)) ? y.lo : 0);
    if (op == K_FLOOR_MOD) {
      if (y.lo > 0) lo = 0, hi = y.hi == INT64_MAX ? y.hi : y.hi - 1;
    } else if (one) {
      lo = x.lo == INT64_MIN ? x.lo : floor_div(x.lo, y.lo), hi = x.hi == INT64_MAX ? x.hi : floor_div(x.hi, y.lo);
    } else if (x.lo >= 0 && y.lo >= 0)
      lo = 0, hi = x.hi;
    break;
  }
  case K_MIN:
  case K_MAX:
    v = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, op == K_MIN ? LLVMIntSLT : LLVMIntSGT, x.v, y.v, ""), x.v, y.v, "");
    lo = op == K_MIN ? (x.lo < y.lo ? x.lo : y.lo) : (x.lo > y.lo ? x.lo : y.lo);
    hi = op == K_MIN ? (x.hi < y.hi ? x.hi : y.hi) : (x.hi > y.hi ? x.hi : y.hi);
    multiple = gcd(x.multiple, y.multiple);
    break;
  case K_GEP: v = LLVMBuildGEP2(g->b, g->t_i8, x.v, &y.v, 1, ""); break;
  default: BUG("atom_op %u", op);
  }
  LLVMPositionBuilderAtEnd(g->b, here);
  r = atom_new(g, v, depth, lo, hi, multiple > 0 ? multiple : 1);
  known_add(g, op, a, b, r);
  vec_last(&g->known).home = (uint32_t)home;
  return r;
}

/* ---- polynomials ---- */
Poly poly_int(int64_t c) { return (Poly){.lanes = 1, .c = c}; }

Poly poly_of_atom(Atom a) {
  Poly p = {.lanes = 1, .n = 1};
  p.t[0] = (Term){.c = 1, .f = {a}, .nf = 1};
  return p;
}

bool poly_is_int(const Poly *p, int64_t *c) {
  if (p->n || p->vec) return false;
  if (c) *c = p->c;
  return true;
}

static bool same_term(const Term *a, const Term *b) {
  return a->nf == b->nf && a->lane == b->lane && !memcmp(a->f, b->f, a->nf * sizeof(Atom));
}

static bool term_add(Poly *p, const Term *t) {
  if (!t->c) return true;
  if (!t->nf && !t->lane) {
    p->c = (int64_t)((uint64_t)p->c + (uint64_t)t->c);
    return true;
  }
  for (int i = 0; i < p->n; i++)
    if (same_term(&p->t[i], t)) {
      p->t[i].c = (int64_t)((uint64_t)p->t[i].c + (uint64_t)t->c);
      if (!p->t[i].c) {
        memmove(&p->t[i], &p->t[i + 1], (size_t)(--p->n - i) * sizeof(Term));
      }
      return true;
    }
  if (p->n == POLY_TERMS) return false;
  p->t[p->n++] = *t;
  return true;
}

/* All that does not change with the lane becomes one atom. */
static void poly_collapse(Gen *g, Poly *p) {
  Poly base = poly_lane0(p, 1), r = {.lanes = p->lanes, .vec = p->vec};
  r.t[r.n++] = (Term){.c = 1, .f = {0}, .nf = 1};
  LLVMValueRef v = poly_scalar(g, &base);
  int64_t lo, hi;
  poly_range(g, &base, &lo, &hi);
  r.t[0].f[0] = atom_new(g, v, gen_depth(g), lo, hi, 1);
  for (int i = 0; i < p->n; i++)
    if (p->t[i].lane && !term_add(&r, &p->t[i])) BUG("index of too many terms");
  *p = r;
}

static void term_push(Gen *g, Poly *p, const Term *t) {
  if (term_add(p, t)) return;
  poly_collapse(g, p);
  if (!term_add(p, t)) BUG("index of too many terms");
}

Poly poly_add(Gen *g, const Poly *a, const Poly *b, int64_t sign) {
  Poly r = *a;
  if (b->lanes > r.lanes) r.lanes = b->lanes;
  r.c = (int64_t)((uint64_t)r.c + (uint64_t)(sign * b->c));
  for (int i = 0; i < b->n; i++) {
    Term t = b->t[i];
    t.c *= sign;
    term_push(g, &r, &t);
  }
  if (b->vec) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(b->vec));
    r.vec = sign > 0 ? (r.vec ? LLVMBuildAdd(g->b, r.vec, b->vec, "") : b->vec)
                     : LLVMBuildSub(g->b, r.vec ? r.vec : zero, b->vec, "");
  }
  return r;
}

static bool varies(const Poly *p) {
  bool lane = p->vec != NULL;
  for (int i = 0; i < p->n; i++) lane |= p->t[i].lane;
  return lane;
}

Poly poly_mul(Gen *g, const Poly *a0, const Poly *b0) {
  Poly a = *a0, b = *b0, r = {.lanes = a.lanes > b.lanes ? a.lanes : b.lanes};
  if (varies(&a) && varies(&b)) {
    r.vec = LLVMBuildMul(g->b, poly_vector(g, &a, r.lanes), poly_vector(g, &b, r.lanes), "");
    return r;
  }
  if (varies(&b)) {
    Poly t = a;
    a = b;
    b = t;
  }
  for (int i = 0; i < a.n; i++)
    for (int j = 0; j < b.n; j++)
      if (a.t[i].nf + b.t[j].nf > POLY_FACTORS) {
        if (a.n > 1 && !varies(&a)) poly_collapse(g, &a);
        poly_collapse(g, &b);
        i = a.n;
        break;
      }
  for (int i = -1; i < a.n; i++)
    for (int j = -1; j < b.n; j++) {
      Term one = {.c = a.c}, two = {.c = b.c}, x = i < 0 ? one : a.t[i], y = j < 0 ? two : b.t[j];
      Term t = {.c = (int64_t)((uint64_t)x.c * (uint64_t)y.c), .lane = x.lane || y.lane};
      if (x.nf + y.nf > POLY_FACTORS) { /* a product of many: one atom */
        Poly q = {.lanes = 1, .n = 1};
        q.t[0] = x;
        q.t[0].c = 1, q.t[0].lane = false;
        x.f[0] = atom_new(g, poly_scalar(g, &q), gen_depth(g), INT64_MIN, INT64_MAX, 1);
        x.nf = 1;
      }
      int m = 0, n = 0;
      while (m < x.nf || n < y.nf) t.f[t.nf++] = n == y.nf || (m < x.nf && x.f[m] <= y.f[n]) ? x.f[m++] : y.f[n++];
      term_push(g, &r, &t);
    }
  if (a.vec) r.vec = LLVMBuildMul(g->b, a.vec, gen_splat(g, poly_scalar(g, &b), r.lanes), "");
  return r;
}

static void term_range(const Gen *g, const Poly *p, const Term *t, int64_t *lo, int64_t *hi) {
  int64_t l = t->lane ? 0 : 1, h = t->lane ? p->lanes - 1 : 1;
  for (int i = 0; i < t->nf; i++) {
    AtomInfo x = g->atom.at[t->f[i]];
    int64_t a = sat_mul(l, x.lo), b = sat_mul(l, x.hi), c = sat_mul(h, x.lo), d = sat_mul(h, x.hi);
    l = a < b ? a : b, h = a > b ? a : b;
    l = c < l ? c : l, h = c > h ? c : h;
    l = d < l ? d : l, h = d > h ? d : h;
  }
  int64_t a = sat_mul(t->c, l), b = sat_mul(t->c, h);
  *lo = a < b ? a : b, *hi = a > b ? a : b;
}

void poly_range(const Gen *g, const Poly *p, int64_t *lo, int64_t *hi) {
  *lo = *hi = p->c;
  if (p->vec) *lo = INT64_MIN, *hi = INT64_MAX;
  for (int i = 0; i < p->n; i++) {
    int64_t l, h;
    term_range(g, p, &p->t[i], &l, &h);
    *lo = sat_add(*lo, l);
    *hi = sat_add(*hi, h);
  }
}

static int64_t term_multiple(const Gen *g, const Term *t) {
  int64_t m = t->c < 0 ? -t->c : t->c;
  for (int i = 0; i < t->nf; i++) {
    int64_t r = sat_mul(m, g->atom.at[t->f[i]].multiple);
    if (r == INT64_MAX) return m;
    m = r;
  }
  return m;
}

bool poly_divisible(const Gen *g, const Poly *p, int64_t d) {
  if (p->vec || p->c % d) return false;
  for (int i = 0; i < p->n; i++)
    if (term_multiple(g, &p->t[i]) % d) return false;
  return true;
}

Poly poly_lane0(const Poly *p, int lanes) {
  Poly r = {.lanes = lanes, .c = p->c};
  for (int i = 0; i < p->n; i++)
    if (!p->t[i].lane) r.t[r.n++] = p->t[i];
  return r;
}

bool poly_stride(const Poly *p, Poly *stride) {
  *stride = (Poly){.lanes = 1};
  if (p->vec) return false;
  for (int i = 0; i < p->n; i++)
    if (p->t[i].lane) {
      Term t = p->t[i];
      t.lane = false;
      if (!term_add(stride, &t)) return false;
    }
  return true;
}

static Atom term_atom(Gen *g, const Term *t) {
  Atom f[POLY_FACTORS];
  for (int i = 0; i < t->nf; i++) { /* the outermost factors first */
    int j = i;
    for (; j && g->atom.at[f[j - 1]].depth > g->atom.at[t->f[i]].depth; j--) f[j] = f[j - 1];
    f[j] = t->f[i];
  }
  Atom r = t->c == 1 ? 0 : atom_const(g, t->c);
  for (int i = 0; i < t->nf; i++) r = r ? atom_op(g, K_MUL, r, f[i]) : f[i];
  return r;
}

static int term_depth(const Gen *g, const Term *t) {
  int d = 0;
  for (int i = 0; i < t->nf; i++)
    if (g->atom.at[t->f[i]].depth > d) d = g->atom.at[t->f[i]].depth;
  return d;
}

/* Sum of the terms of one depth, or 0; *next: the next depth that has terms, or -1. */
static Atom depth_sum(Gen *g, const Poly *p, int depth, int *next) {
  Atom r = 0;
  *next = -1;
  for (int i = 0; i < p->n; i++) {
    int d = term_depth(g, &p->t[i]);
    if (d > depth && (*next < 0 || d < *next)) *next = d;
    if (d != depth) continue;
    Atom t = term_atom(g, &p->t[i]);
    r = r ? atom_op(g, K_ADD, r, t) : t;
  }
  return r;
}

static Atom poly_atom(Gen *g, const Poly *p) {
  Atom r = 0;
  if (varies(p)) BUG("a vector index where a scalar stands");
  for (int d = 0; d >= 0;) {
    Atom t = depth_sum(g, p, d, &d);
    if (t) r = r ? atom_op(g, K_ADD, r, t) : t;
  }
  if (!r) return atom_const(g, p->c);
  return p->c ? atom_op(g, K_ADD, r, atom_const(g, p->c)) : r;
}

LLVMValueRef poly_scalar(Gen *g, const Poly *p) {
  Atom a = poly_atom(g, p); /* may move the table */
  return g->atom.at[a].v;
}

static LLVMValueRef lanes_of(Gen *g, const Poly *p, LLVMTypeRef t, int lanes) {
  Poly base = poly_lane0(p, 1), stride;
  poly_stride(p, &stride);
  LLVMValueRef s = poly_scalar(g, &base), r = NULL;
  int64_t c;
  bool narrow = t != g->t_i64;
  if (!poly_is_int(&stride, &c) || c) {
    r = gen_iota(g, t, lanes);
    if (!poly_is_int(&stride, &c) || c != 1) {
      LLVMValueRef k = poly_scalar(g, &stride);
      r = LLVMBuildMul(g->b, r, gen_splat(g, narrow ? LLVMBuildTrunc(g->b, k, t, "") : k, lanes), "");
    }
  }
  if (r && poly_is_int(&base, &c) && !c) return r;
  s = gen_splat(g, narrow ? LLVMBuildTrunc(g->b, s, t, "") : s, lanes);
  return r ? LLVMBuildAdd(g->b, s, r, "") : s;
}

LLVMValueRef poly_vector(Gen *g, const Poly *p, int lanes) {
  Poly q = *p;
  q.vec = NULL;
  if (p->vec && !q.n && !q.c) return p->vec;
  LLVMValueRef r = lanes_of(g, &q, g->t_i64, lanes);
  return p->vec ? LLVMBuildAdd(g->b, r, p->vec, "") : r;
}

LLVMValueRef poly_narrow(Gen *g, const Poly *p, DType d, int lanes) {
  LLVMTypeRef t = gen_type(g, d, 1);
  if (dtype_size(d) == 8) return lanes > 1 ? poly_vector(g, p, lanes) : poly_scalar(g, p);
  if (lanes == 1) return LLVMBuildTrunc(g->b, poly_scalar(g, p), t, "");
  if (p->vec) return LLVMBuildTrunc(g->b, poly_vector(g, p, lanes), gen_type(g, d, lanes), "");
  return lanes_of(g, p, t, lanes);
}

/* ---- division ---- */
/* Floor quotient or remainder. A divisor that divides all terms but a rest known to lie below it leaves nothing to
 * compute; lanes that stay within one multiple of it leave a scalar division. */
Poly poly_divide(Gen *g, bool mod, const Poly *p, const Poly *d) {
  int64_t m, lo, hi, c;
  int lanes = p->lanes > d->lanes ? p->lanes : d->lanes;
  if (poly_is_int(d, &m) && m > 0) {
    Poly q = {.lanes = p->lanes}, r = {.lanes = p->lanes, .vec = p->vec};
    for (int i = 0; i < p->n; i++) {
      Term t = p->t[i];
      if (t.c % m == 0) {
        t.c /= m;
        term_push(g, &q, &t);
      } else
        term_push(g, &r, &t);
    }
    q.c = floor_div(p->c, m);
    r.c = floor_mod(p->c, m);
    poly_range(g, &r, &lo, &hi);
    if (lo >= 0 && hi < m) return mod ? r : q;
    if (!varies(&r)) {
      Poly one = poly_of_atom(atom_op(g, mod ? K_FLOOR_MOD : K_FLOOR_DIV, poly_atom(g, &r), atom_const(g, m)));
      return mod ? one : poly_add(g, &q, &one, 1);
    }
    Poly base = poly_lane0(&r, 1), lanepart = {.lanes = p->lanes};
    if (!r.vec) {
      int64_t unit = gcd(base.c, m);
      for (int i = 0; i < base.n; i++) unit = gcd(term_multiple(g, &base.t[i]), unit);
      for (int i = 0; i < r.n; i++)
        if (r.t[i].lane) term_push(g, &lanepart, &r.t[i]);
      poly_range(g, &lanepart, &lo, &hi);
      if (lo >= 0 && hi < unit) {
        Poly by = poly_int(m), x = poly_divide(g, mod, &base, &by);
        return mod ? poly_add(g, &x, &lanepart, 1) : poly_add(g, &q, &x, 1);
      }
      Poly stride;
      if (poly_is_int(&base, NULL) && poly_stride(&r, &stride) && poly_is_int(&stride, &c)) { /* lane(64) % 4 */
        int64_t v[512];
        if (lanes > 512) BUG("%d lanes", lanes);
        for (int i = 0; i < lanes; i++) v[i] = mod ? floor_mod(base.c + c * i, m) : floor_div(base.c + c * i, m);
        Poly x = {.lanes = lanes, .vec = gen_int_vector(g->t_i64, v, lanes)};
        return mod ? x : poly_add(g, &q, &x, 1);
      }
    }
    Poly x = {.lanes = lanes};
    x.vec = floor_op(g, mod, poly_vector(g, &r, lanes), gen_splat(g, LLVMConstInt(g->t_i64, (uint64_t)m, 0), lanes),
                     false, m & (m - 1) ? 0 : m);
    return mod ? x : poly_add(g, &q, &x, 1);
  }
  if (!varies(p) && !varies(d)) {
    Poly r = poly_of_atom(atom_op(g, mod ? K_FLOOR_MOD : K_FLOOR_DIV, poly_atom(g, p), poly_atom(g, d)));
    r.lanes = lanes;
    return r;
  }
  LLVMValueRef x = poly_vector(g, p, lanes), y = poly_vector(g, d, lanes), zero = LLVMConstNull(LLVMTypeOf(y));
  y = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, y, zero, ""),
                      gen_splat(g, LLVMConstInt(g->t_i64, 1, 0), lanes), y, "");
  return (Poly){.lanes = lanes, .vec = floor_op(g, mod, x, y, false, 0)};
}

Poly poly_extreme(Gen *g, bool max, const Poly *a, const Poly *b) {
  int64_t alo, ahi, blo, bhi, lo, hi;
  Poly d = poly_add(g, a, b, -1);
  poly_range(g, &d, &lo, &hi);
  poly_range(g, a, &alo, &ahi);
  poly_range(g, b, &blo, &bhi);
  int lanes = a->lanes > b->lanes ? a->lanes : b->lanes;
  Poly r;
  if (lo >= 0 || alo >= bhi)
    r = max ? *a : *b;
  else if (hi <= 0 || ahi <= blo)
    r = max ? *b : *a;
  else if (!varies(a) && !varies(b))
    r = poly_of_atom(atom_op(g, max ? K_MAX : K_MIN, poly_atom(g, a), poly_atom(g, b)));
  else {
    LLVMValueRef x = poly_vector(g, a, lanes), y = poly_vector(g, b, lanes);
    r = (Poly){.vec = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, max ? LLVMIntSGT : LLVMIntSLT, x, y, ""), x, y, "")};
  }
  r.lanes = lanes;
  return r;
}

/* ---- from Syms and expressions ---- */
static Poly dim_poly(Gen *g, uint32_t i) {
  Dim d = g->k->dims.at[i];
  if (d.lo == d.hi) return poly_int(d.lo);
  if (!g->dim_atom[i]) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
    place(g, 0);
    LLVMValueRef at = LLVMConstInt(g->t_i64, offsetof(SinterCall, dims), 0),
                 n = LLVMConstInt(g->t_i64, i * sizeof(int64_t), 0);
    LLVMValueRef dims = LLVMBuildLoad2(g->b, g->t_ptr, LLVMBuildGEP2(g->b, g->t_i8, g->call, &at, 1, ""), "dims");
    LLVMValueRef v = LLVMBuildLoad2(g->b, g->t_i64, LLVMBuildGEP2(g->b, g->t_i8, dims, &n, 1, ""), d.name);
    LLVMSetMetadata(dims, g->md_invariant, g->md_empty);
    LLVMSetMetadata(v, g->md_invariant, g->md_empty);
    LLVMPositionBuilderAtEnd(g->b, here);
    g->dim_atom[i] = atom_new(g, v, 0, d.lo, d.hi, 1);
  }
  return poly_of_atom(g->dim_atom[i]);
}

typedef struct SymStack {
  Gen *g;
  Poly at[32];
  int n;
} SymStack;

static int64_t dim_index(void *ctx, const char *name) {
  Kernel *k = ((SymStack *)ctx)->g->k;
  for (uint32_t i = 0; i < k->dims.n; i++)
    if (k->dims.at[i].name == name || !strcmp(k->dims.at[i].name, name)) return i;
  BUG("kernel %s has no dimension %s", k->name, name);
}

static void sym_step(void *ctx, SymCode op, int64_t x) {
  SymStack *s = ctx;
  Gen *g = s->g;
  if (op == SYMC_INT || op == SYMC_VAR) {
    if (s->n == 32) BUG("a Sym of more than 32 operands at once");
    s->at[s->n++] = op == SYMC_INT ? poly_int(x) : dim_poly(g, (uint32_t)x);
    return;
  }
  Poly *a = &s->at[s->n - 2], *b = &s->at[s->n - 1];
  s->n--;
  switch (op) {
  case SYMC_ADD: *a = poly_add(g, a, b, 1); break;
  case SYMC_MUL: *a = poly_mul(g, a, b); break;
  case SYMC_FLOORDIV: *a = poly_divide(g, false, a, b); break;
  case SYMC_MOD: *a = poly_divide(g, true, a, b); break;
  case SYMC_MIN: *a = poly_extreme(g, false, a, b); break;
  case SYMC_MAX: *a = poly_extreme(g, true, a, b); break;
  default: {
    Op cmp = op == SYMC_LT ? OP_LESS : op == SYMC_LE ? OP_LESS_EQUAL : op == SYMC_EQ ? OP_EQUAL : OP_NOT_EQUAL;
    LLVMValueRef v = LLVMBuildZExt(g->b, poly_compare(g, cmp, a, b, 1), g->t_i64, "");
    *a = poly_of_atom(atom_new(g, v, gen_depth(g), 0, 1, 1));
  }
  }
}

Poly poly_sym(Gen *g, Sym s) {
  SymStack st = {.g = g};
  sym_postfix(g->k->ctx->syms, s, dim_index, sym_step, &st);
  return st.at[0];
}

/* An index that is no polynomial of what is known: an atom of its own, or a vector. */
static Poly poly_opaque(Gen *g, Ex e) {
  Expr x = *ex_at(g->k, e);
  LLVMValueRef v = gen_value_raw(g, e);
  if (x.lanes > 1) return (Poly){.lanes = x.lanes, .vec = v};
  if (!g->ex_atom[e] || g->atom.at[g->ex_atom[e]].v != v) {
    int64_t lo = INT64_MIN, hi = INT64_MAX;
    if (x.op == OP_CONVERT) {
      DType from = ex_at(g->k, g->k->arg.at[x.in])->dtype;
      int bits = 8 * (int)dtype_size(from);
      if (dtype_is_int(from) && bits < 64) {
        lo = dtype_is_signed(from) ? -(1LL << (bits - 1)) : 0;
        hi = dtype_is_signed(from) ? (1LL << (bits - 1)) - 1 : (1LL << bits) - 1;
      }
    }
    g->ex_atom[e] = atom_new(g, v, gen_depth(g), lo, hi, 1);
  }
  return poly_of_atom(g->ex_atom[e]);
}

Poly poly_ex(Gen *g, Ex e) {
  Expr x = *ex_at(g->k, e);
  Ex in[3] = {0};
  int64_t c, lo, hi;
  for (int i = 0; i < x.nin && i < 3; i++) in[i] = g->k->arg.at[x.in + (uint32_t)i];
  switch (x.op) {
  case OP_VAR: {
    Bind *v = g->var[x.ref];
    if (!v || !v->index) BUG("%s: index variable %s has no value", g->k->name, g->k->vars.at[x.ref].name);
    return v->p;
  }
  case OP_LITERAL: {
    Poly p = poly_int(x.u.i);
    p.lanes = x.lanes;
    return p;
  }
  case OP_LANE: {
    Poly p = {.lanes = x.lanes, .n = 1};
    p.t[0] = (Term){.c = 1, .lane = true};
    return p;
  }
  case OP_SPLAT: {
    Poly p = poly_ex(g, in[0]);
    p.lanes = x.lanes;
    return p;
  }
  case OP_NEG: {
    Poly z = poly_int(0), a = poly_ex(g, in[0]);
    return poly_add(g, &z, &a, -1);
  }
  case OP_CONVERT:
    if (ex_at(g->k, in[0])->dtype == DT_IDX) return poly_ex(g, in[0]);
    return poly_opaque(g, e);
  case OP_ADD:
  case OP_SUB:
  case OP_MUL:
  case OP_MINIMUM:
  case OP_MAXIMUM:
  case OP_FLOOR_DIV:
  case OP_FLOOR_MOD:
  case OP_DIV:
  case OP_REM: {
    Poly a = poly_ex(g, in[0]), b = poly_ex(g, in[1]);
    if (x.op == OP_ADD || x.op == OP_SUB) return poly_add(g, &a, &b, x.op == OP_ADD ? 1 : -1);
    if (x.op == OP_MUL) return poly_mul(g, &a, &b);
    if (x.op == OP_MINIMUM || x.op == OP_MAXIMUM) return poly_extreme(g, x.op == OP_MAXIMUM, &a, &b);
    if (x.op == OP_DIV || x.op == OP_REM) { /* they truncate; the same where nothing is negative */
      poly_range(g, &a, &lo, &hi);
      if (lo < 0) return poly_opaque(g, e);
      poly_range(g, &b, &lo, &hi);
      if (lo <= 0) return poly_opaque(g, e);
    }
    return poly_divide(g, x.op == OP_FLOOR_MOD || x.op == OP_REM, &a, &b);
  }
  case OP_SHL:
  case OP_SHR: {
    Poly b = poly_ex(g, in[1]);
    if (!poly_is_int(&b, &c) || c < 0 || c > 62) return poly_opaque(g, e);
    Poly a = poly_ex(g, in[0]), k = poly_int(1LL << c);
    return x.op == OP_SHL ? poly_mul(g, &a, &k) : poly_divide(g, false, &a, &k);
  }
  default: return poly_opaque(g, e);
  }
}

/* ---- comparison ---- */
static LLVMValueRef bool_lanes(Gen *g, bool v, int lanes) {
  LLVMTypeRef t = gen_type(g, DT_BOOL, lanes);
  return v ? LLVMConstAllOnes(t) : LLVMConstNull(t);
}

/* Lanes below n: [0, lanes] holds in most places; n is clamped. */
static LLVMValueRef lanes_below(Gen *g, const Poly *n, int lanes) {
  Poly top = poly_int(lanes), zero = poly_int(0), r = poly_extreme(g, false, n, &top);
  r = poly_extreme(g, true, &r, &zero);
  int64_t c;
  if (poly_is_int(&r, &c) && (c == 0 || c == lanes)) return bool_lanes(g, c != 0, lanes);
  int bytes = g->target->vector_bytes / lanes;
  LLVMTypeRef t = bytes >= 8                    ? g->t_i64
                  : bytes >= 4                  ? g->t_i32
                  : bytes >= 2 && lanes < 32768 ? g->t_i16
                  : lanes < 128                 ? g->t_i8
                                                : g->t_i16;
  LLVMValueRef s = poly_scalar(g, &r);
  if (t != g->t_i64) s = LLVMBuildTrunc(g->b, s, t, "");
  return LLVMBuildICmp(g->b, LLVMIntSLT, gen_iota(g, t, lanes), gen_splat(g, s, lanes), "");
}

LLVMValueRef poly_compare(Gen *g, Op op, const Poly *a, const Poly *b, int lanes) {
  static const LLVMIntPredicate pred[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE};
  static const Op ops[] = {OP_EQUAL, OP_NOT_EQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL};
  int k = 0;
  while (ops[k] != op) k++;
  Poly d = poly_add(g, a, b, -1), stride;
  int64_t lo, hi, c;
  poly_range(g, &d, &lo, &hi);
  int known = op == OP_LESS            ? (hi < 0    ? 1
                                          : lo >= 0 ? 0
                                                    : -1)
              : op == OP_LESS_EQUAL    ? (hi <= 0  ? 1
                                          : lo > 0 ? 0
                                                   : -1)
              : op == OP_GREATER       ? (lo > 0    ? 1
                                          : hi <= 0 ? 0
                                                    : -1)
              : op == OP_GREATER_EQUAL ? (lo >= 0  ? 1
                                          : hi < 0 ? 0
                                                   : -1)
              : lo > 0 || hi < 0       ? op == OP_NOT_EQUAL
              : lo == 0 && hi == 0     ? op == OP_EQUAL
                                       : -1;
  if (known >= 0) return bool_lanes(g, known, lanes);
  if (!varies(&d)) {
    Poly z = poly_int(0), x = varies(a) || varies(b) ? d : *a, y = varies(a) || varies(b) ? z : *b;
    LLVMValueRef r = LLVMBuildICmp(g->b, pred[k], poly_scalar(g, &x), poly_scalar(g, &y), "");
    return lanes > 1 ? gen_splat(g, r, lanes) : r;
  }
  if (k >= 2 && poly_stride(&d, &stride) && poly_is_int(&stride, &c) && (c == 1 || c == -1)) {
    if (c == -1) { /* d < 0 is -d > 0 */
      Poly z = poly_int(0);
      d = poly_add(g, &z, &d, -1);
      op = op == OP_LESS         ? OP_GREATER
           : op == OP_LESS_EQUAL ? OP_GREATER_EQUAL
           : op == OP_GREATER    ? OP_LESS
                                 : OP_LESS_EQUAL;
    }
    Poly base = poly_lane0(&d, 1), n = poly_int(op == OP_LESS_EQUAL || op == OP_GREATER); /* lane + base < 0, or <= 0 */
    n = poly_add(g, &n, &base, -1);
    LLVMValueRef m = lanes_below(g, &n, lanes);
    return op == OP_LESS || op == OP_LESS_EQUAL ? m : LLVMBuildNot(g->b, m, "");
  }
  return LLVMBuildICmp(g->b, pred[k], poly_vector(g, a, lanes), poly_vector(g, b, lanes), "");
}

/* ---- addresses ---- */
Poly gen_offset(Gen *g, uint32_t buf, const Ex *index, int n) {
  LoopBuf b = g->k->bufs.at[buf];
  Poly o = poly_int(0), at[LOOP_RANK], dim[LOOP_RANK];
  if (b.list) {
    gen_refuse(g, "kernel %s: lists of tensors (%s) come with a later order", g->k->name, b.name);
    return o;
  }
  if (n != b.rank) BUG("%s.%s: %d indices for %d axes", g->k->name, b.name, n, b.rank);
  for (int i = 0; i < n; i++) {
    at[i] = poly_ex(g, index[i]);
    dim[i] = poly_sym(g, b.dim[i]);
  }
  if (b.buffers) {
    dim[0] = poly_sym(g, b.buffers);
    at[0] = poly_divide(g, true, &at[0], &dim[0]);
  }
  switch (b.layout) {
  case LAYOUT_STRIDES:
    for (int i = 0; i < n; i++) {
      Poly s = poly_sym(g, b.stride[i]), t = poly_mul(g, &at[i], &s);
      o = poly_add(g, &o, &t, 1);
    }
    return o;
  case LAYOUT_PANEL: {
    Poly w = poly_int(b.width), q = poly_divide(g, false, &at[b.panel_axis], &w),
         r = poly_divide(g, true, &at[b.panel_axis], &w);
    o = q;
    for (int i = 0; i < n; i++)
      if (i != b.panel_axis) {
        o = poly_mul(g, &o, &dim[i]);
        o = poly_add(g, &o, &at[i], 1);
      }
    o = poly_mul(g, &o, &w);
    return poly_add(g, &o, &r, 1);
  }
  case LAYOUT_SWIZZLE: gen_refuse(g, "kernel %s: the layout swizzle of %s is for GPUs", g->k->name, b.name); return o;
  default:
    for (int i = 0; i < n; i++) {
      if (i) o = poly_mul(g, &o, &dim[i]);
      o = poly_add(g, &o, &at[i], 1);
    }
    return o;
  }
}

static Atom buf_atom(Gen *g, uint32_t buf) {
  if (!g->buf_atom[buf]) {
    if (buf >= (uint32_t)g->k->nparams) BUG("%s: %s is used before its alloc", g->k->name, g->k->bufs.at[buf].name);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
    place(g, 0);
    LLVMValueRef at = LLVMConstInt(g->t_i64, offsetof(SinterCall, bufs), 0),
                 n = LLVMConstInt(g->t_i64, buf * sizeof(void *), 0);
    LLVMValueRef bufs = LLVMBuildLoad2(g->b, g->t_ptr, LLVMBuildGEP2(g->b, g->t_i8, g->call, &at, 1, ""), "bufs");
    LLVMValueRef v =
        LLVMBuildLoad2(g->b, g->t_ptr, LLVMBuildGEP2(g->b, g->t_i8, bufs, &n, 1, ""), g->k->bufs.at[buf].name);
    LLVMSetMetadata(bufs, g->md_invariant, g->md_empty);
    LLVMSetMetadata(v, g->md_invariant, g->md_empty);
    LLVMPositionBuilderAtEnd(g->b, here);
    g->buf_atom[buf] = atom_new(g, v, 0, INT64_MIN, INT64_MAX, 1);
  }
  return g->buf_atom[buf];
}

LLVMValueRef gen_address(Gen *g, uint32_t buf, const Poly *offset) {
  Poly o = poly_lane0(offset, 1);
  int64_t size = (int64_t)dtype_size(g->k->bufs.at[buf].dtype);
  for (int i = 0; i < o.n; i++) o.t[i].c *= size;
  Atom p = buf_atom(g, buf);
  for (int d = 0; d >= 0;) {
    Atom t = depth_sum(g, &o, d, &d);
    if (t) p = atom_op(g, K_GEP, p, t);
  }
  if (!o.c) return g->atom.at[p].v;
  LLVMValueRef c = LLVMConstInt(g->t_i64, (uint64_t)(o.c * size), 1); /* where it is used: it folds into the access */
  return LLVMBuildGEP2(g->b, g->t_i8, g->atom.at[p].v, &c, 1, "");
}

LLVMValueRef gen_addresses(Gen *g, uint32_t buf, const Poly *offset, int lanes) {
  Poly vary = {.lanes = lanes, .vec = offset->vec};
  for (int i = 0; i < offset->n; i++)
    if (offset->t[i].lane) vary.t[vary.n++] = offset->t[i];
  LLVMValueRef base = gen_address(g, buf, offset), at = poly_vector(g, &vary, lanes);
  return LLVMBuildGEP2(g->b, gen_memory_type(g, g->k->bufs.at[buf].dtype, 1), base, &at, 1, "");
}
