#include "sym.h"
#include "integer.h"
#include "diag.h"
#include <string.h>

typedef uint32_t Atom; /* index into atom */

typedef struct AtomRec {
  const char *name; /* a variable; NULL for an operation */
  uint8_t op;
  Sym a, b;
} AtomRec;

typedef struct Term {
  int64_t k;
  uint32_t n; /* atoms, sorted; a square has its atom twice */
  const Atom *atom;
} Term;

typedef struct Poly {
  uint32_t n; /* terms, sorted by degree (highest first), then atoms; the constant last */
  bool overflow;
  const Term *term;
  uint32_t next; /* hash chain */
  uint32_t hash;
} Poly;

typedef Vec(Term) Terms;

struct SymTab {
  Arena *arena;
  StrTab *names;
  Vec(AtomRec) atom;
  Vec(Poly) poly; /* poly[0] unused */
  uint32_t *slot, mask;
  Terms spare; /* the memory of a sum that is done, for the next one */
};

enum { SYM_OVERFLOW = 1 };

SymTab *sym_tab_new(Arena *a, StrTab *names) {
  SymTab *t = ARENA_NEW(a, SymTab);
  t->arena = a;
  t->names = names;
  t->mask = 1023;
  t->slot = ARENA_ARRAY(a, uint32_t, t->mask + 1);
  vec_push(a, &t->poly, (Poly){0});
  vec_push(a, &t->poly, (Poly){.overflow = true});
  return t;
}

static int compare_poly(const SymTab *t, Sym a, Sym b);

/* Variables by name, then operations by what they are made of: so the order, and the text, depend on names only, not on
 * what was made first. */
static int compare_atom(const SymTab *t, Atom a, Atom b) {
  const AtomRec *p = &t->atom.at[a], *q = &t->atom.at[b];
  if (a == b) return 0;
  if (p->name || q->name) return p->name && q->name ? strcmp(p->name, q->name) : p->name ? -1 : 1;
  if (p->op != q->op) return p->op < q->op ? -1 : 1;
  int c = compare_poly(t, p->a, q->a);
  return c ? c : compare_poly(t, p->b, q->b);
}

static int compare_atoms(const SymTab *t, const Term *x, const Term *y) {
  if (x->n != y->n) return x->n > y->n ? -1 : 1;
  for (uint32_t i = 0; i < x->n; i++)
    if (x->atom[i] != y->atom[i]) return compare_atom(t, x->atom[i], y->atom[i]);
  return 0;
}

static int compare_poly(const SymTab *t, Sym a, Sym b) {
  const Poly *p = &t->poly.at[a], *q = &t->poly.at[b];
  if (a == b) return 0;
  for (uint32_t i = 0; i < p->n && i < q->n; i++) {
    int c = compare_atoms(t, &p->term[i], &q->term[i]);
    if (c) return c;
    if (p->term[i].k != q->term[i].k) return p->term[i].k < q->term[i].k ? -1 : 1;
  }
  return p->n < q->n ? -1 : 1;
}

static uint64_t poly_hash(const Term *t, uint32_t n) {
  uint64_t h = n;
  for (uint32_t i = 0; i < n; i++) h = hash_bytes(t[i].atom, t[i].n * sizeof(Atom), hash_bytes(&t[i].k, 8, h));
  return h;
}

static void grow_slots(SymTab *t) { /* to twice as many chains */
  t->mask = 2 * t->mask + 1;
  t->slot = ARENA_ARRAY(t->arena, uint32_t, t->mask + 1);
  for (Sym s = SYM_OVERFLOW + 1; s < t->poly.n; s++) {
    Poly *p = &t->poly.at[s];
    p->next = t->slot[p->hash & t->mask];
    t->slot[p->hash & t->mask] = s;
  }
}

/* Interns terms that are sorted, without zeros and duplicates. */
static Sym poly_intern(SymTab *t, const Term *term, uint32_t n) {
  if (t->poly.n > t->mask) grow_slots(t);
  uint32_t hash = (uint32_t)poly_hash(term, n), h = hash & t->mask;
  for (uint32_t s = t->slot[h]; s; s = t->poly.at[s].next) {
    const Poly *p = &t->poly.at[s];
    bool same = p->n == n && p->hash == hash;
    for (uint32_t i = 0; same && i < n; i++)
      same = p->term[i].k == term[i].k && !compare_atoms(t, &p->term[i], &term[i]);
    if (same) return s;
  }
  Term *copy = ARENA_ARRAY(t->arena, Term, n ? n : 1);
  if (n) memcpy(copy, term, n * sizeof *copy);
  Poly p = {.n = n, .term = copy, .next = t->slot[h], .hash = hash};
  vec_push(t->arena, &t->poly, p);
  return t->slot[h] = t->poly.n - 1;
}

typedef struct Sum {
  SymTab *tab;
  Terms term;
  bool overflow;
} Sum;

static Sum sum_open(SymTab *t) {
  Sum s = {.tab = t, .term = t->spare};
  s.term.n = 0;
  t->spare = (Terms){0};
  return s;
}

static void sum_term(Sum *s, int64_t k, const Atom *atom, uint32_t n) {
  Term t = {k, n, atom};
  uint32_t lo = 0, hi = s->term.n;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    int c = compare_atoms(s->tab, &s->term.at[mid], &t);
    if (!c) {
      s->overflow |= __builtin_add_overflow(s->term.at[mid].k, k, &s->term.at[mid].k);
      return;
    }
    if (c < 0)
      lo = mid + 1;
    else
      hi = mid;
  }
  vec_push(s->tab->arena, &s->term, t);
  memmove(&s->term.at[lo + 1], &s->term.at[lo], (s->term.n - 1 - lo) * sizeof t);
  s->term.at[lo] = t;
}

static Sym sum_done(Sum *s) {
  s->tab->spare = s->term;
  if (s->overflow || s->term.n > 4096) return SYM_OVERFLOW;
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->term.n; i++)
    if (s->term.at[i].k) s->term.at[n++] = s->term.at[i];
  return poly_intern(s->tab, s->term.at, n);
}

static void sum_poly(Sum *s, Sym x, int64_t k) {
  const Poly *p = &s->tab->poly.at[x];
  s->overflow |= p->overflow;
  for (uint32_t i = 0; i < p->n; i++) {
    int64_t c = 0;
    s->overflow |= __builtin_mul_overflow(p->term[i].k, k, &c);
    sum_term(s, c, p->term[i].atom, p->term[i].n);
  }
}

Sym sym_int(SymTab *t, int64_t k) { return poly_intern(t, &(Term){.k = k}, k != 0); }

static Sym sym_atom(SymTab *t, AtomRec r) {
  Atom k = 0;
  while (k < t->atom.n &&
         (t->atom.at[k].name != r.name || t->atom.at[k].op != r.op || t->atom.at[k].a != r.a || t->atom.at[k].b != r.b))
    k++;
  if (k == t->atom.n) vec_push(t->arena, &t->atom, r);
  Atom *a = ARENA_NEW(t->arena, Atom);
  *a = k;
  return poly_intern(t, &(Term){1, 1, a}, 1);
}

Sym sym_var(SymTab *t, const char *name) { return sym_atom(t, (AtomRec){.name = str_intern(t->names, name)}); }

Sym sym_add(SymTab *t, Sym a, Sym b) {
  Sum s = sum_open(t);
  sum_poly(&s, a, 1);
  sum_poly(&s, b, 1);
  return sum_done(&s);
}

Sym sym_sub(SymTab *t, Sym a, Sym b) {
  Sum s = sum_open(t);
  sum_poly(&s, a, 1);
  sum_poly(&s, b, -1);
  return sum_done(&s);
}

Sym sym_mul(SymTab *t, Sym a, Sym b) {
  Sum s = sum_open(t);
  Poly p = t->poly.at[a], q = t->poly.at[b];
  s.overflow = p.overflow || q.overflow || (uint64_t)p.n * q.n > 4096;
  for (uint32_t i = 0; i < p.n && !s.overflow; i++)
    for (uint32_t j = 0; j < q.n; j++) {
      const Term *x = &p.term[i], *y = &q.term[j];
      int64_t k = 0;
      s.overflow |= __builtin_mul_overflow(x->k, y->k, &k) || x->n + y->n > 32;
      if (s.overflow) break;
      Atom *m = ARENA_ARRAY(t->arena, Atom, x->n + y->n + 1);
      uint32_t u = 0, v = 0, n = 0;
      while (u < x->n || v < y->n)
        m[n++] = v == y->n || (u < x->n && compare_atom(t, x->atom[u], y->atom[v]) <= 0) ? x->atom[u++] : y->atom[v++];
      sum_term(&s, k, m, n);
    }
  return sum_done(&s);
}

Sym sym_product(SymTab *t, const Sym *s, int n) {
  Sym r = sym_int(t, 1);
  for (int i = 0; i < n; i++) r = sym_mul(t, r, s[i]);
  return r;
}

bool sym_overflowed(const SymTab *t, Sym s) { return t->poly.at[s].overflow; }

bool sym_is_int(const SymTab *t, Sym s, int64_t *value) {
  const Poly *p = &t->poly.at[s];
  if (p->overflow || p->n > 1 || (p->n == 1 && p->term[0].n)) return false;
  if (value) *value = p->n ? p->term[0].k : 0;
  return true;
}

const char *sym_var_name(const SymTab *t, Sym s) {
  const Poly *p = &t->poly.at[s];
  return p->n == 1 && p->term[0].k == 1 && p->term[0].n == 1 ? t->atom.at[p->term[0].atom[0]].name : NULL;
}

/* a / b by the division of polynomials, or 0. */
Sym sym_exact(SymTab *t, Sym a, Sym b) {
  if (sym_overflowed(t, a) || sym_overflowed(t, b) || !t->poly.at[b].n) return 0;
  Term lead = t->poly.at[b].term[0];
  Sym q = sym_int(t, 0);
  for (int turn = 0; turn < 40; turn++) {
    if (!t->poly.at[a].n) return q;
    Term x = t->poly.at[a].term[0];
    Atom *m = ARENA_ARRAY(t->arena, Atom, x.n + 1);
    uint32_t n = 0, j = 0;
    for (uint32_t i = 0; i < x.n; i++)
      if (j < lead.n && x.atom[i] == lead.atom[j])
        j++;
      else
        m[n++] = x.atom[i];
    if (j < lead.n || (x.k == INT64_MIN && lead.k == -1) || x.k % lead.k) return 0;
    Sym step = poly_intern(t, &(Term){x.k / lead.k, n, m}, 1);
    q = sym_add(t, q, step);
    a = sym_sub(t, a, sym_mul(t, step, b));
    if (sym_overflowed(t, a)) return 0;
  }
  return 0;
}

/* The terms of a whose coefficient k divides, divided by it; *rest gets the others. */
static Sym split(SymTab *t, Sym a, int64_t k, Sym *rest) {
  Sum whole = sum_open(t), left = sum_open(t);
  Poly p = t->poly.at[a];
  for (uint32_t i = 0; i < p.n; i++)
    if (p.term[i].n && p.term[i].k % k == 0)
      sum_term(&whole, p.term[i].k / k, p.term[i].atom, p.term[i].n);
    else if (!p.term[i].n) {
      int64_t q = floor_div(p.term[i].k, k);
      if (q) sum_term(&whole, q, NULL, 0);
      if (p.term[i].k - q * k) sum_term(&left, p.term[i].k - q * k, NULL, 0);
    } else
      sum_term(&left, p.term[i].k, p.term[i].atom, p.term[i].n);
  *rest = sum_done(&left);
  return sum_done(&whole);
}

Sym sym_op(SymTab *t, SymOp op, Sym a, Sym b) {
  if (sym_overflowed(t, a) || sym_overflowed(t, b)) return SYM_OVERFLOW;
  int64_t x = 0, y = 0;
  bool kx = sym_is_int(t, a, &x), ky = sym_is_int(t, b, &y);
  if (op == SYM_FLOORDIV || op == SYM_MOD) {
    if (ky && y == 0) return SYM_OVERFLOW;
    if (kx && ky) {
      if (x == INT64_MIN && y == -1) return SYM_OVERFLOW;
      return sym_int(t, op == SYM_FLOORDIV ? floor_div(x, y) : x - floor_div(x, y) * y);
    }
    Sym q = sym_exact(t, a, b);
    if (q) return op == SYM_FLOORDIV ? q : sym_int(t, 0);
    if (ky && y > 0) {
      Sym rest, whole = split(t, a, y, &rest);
      int64_t r;
      Sym tail = sym_is_int(t, rest, &r) ? sym_int(t, op == SYM_FLOORDIV ? floor_div(r, y) : r - floor_div(r, y) * y)
                                         : sym_atom(t, (AtomRec){.op = (uint8_t)op, .a = rest, .b = b});
      return op == SYM_FLOORDIV ? sym_add(t, whole, tail) : tail;
    }
  } else if (op == SYM_MIN || op == SYM_MAX) {
    if (a == b) return a;
    if (kx && ky) return (x < y) == (op == SYM_MIN) ? a : b;
    Sym d = sym_sub(t, a, b);
    int64_t k;
    if (sym_is_int(t, d, &k)) return (k < 0) == (op == SYM_MIN) ? a : b;
    if (compare_poly(t, a, b) > 0) return sym_op(t, op, b, a);
  } else {
    Sym d = sym_sub(t, a, b);
    int64_t k;
    if (kx && ky) return sym_int(t, op == SYM_LT ? x < y : op == SYM_LE ? x <= y : op == SYM_EQ ? x == y : x != y);
    if (sym_is_int(t, d, &k))
      return sym_int(t, op == SYM_LT ? k < 0 : op == SYM_LE ? k <= 0 : op == SYM_EQ ? k == 0 : k != 0);
  }
  return sym_atom(t, (AtomRec){.op = (uint8_t)op, .a = a, .b = b});
}

Sym sym_div_up(SymTab *t, Sym a, Sym b) {
  return sym_op(t, SYM_FLOORDIV, sym_add(t, a, sym_sub(t, b, sym_int(t, 1))), b);
}
Sym sym_round_up(SymTab *t, Sym a, Sym b) { return sym_mul(t, sym_div_up(t, a, b), b); }

void sym_names(const SymTab *t, Sym s, Arena *arena, SymNames *out) {
  const Poly *p = &t->poly.at[s];
  for (uint32_t i = 0; i < p->n; i++)
    for (uint32_t j = 0; j < p->term[i].n; j++) {
      const AtomRec *r = &t->atom.at[p->term[i].atom[j]];
      if (!r->name) {
        sym_names(t, r->a, arena, out);
        sym_names(t, r->b, arena, out);
        continue;
      }
      bool seen = false;
      for (uint32_t k = 0; k < out->n; k++) seen |= out->at[k] == r->name;
      if (!seen) vec_push(arena, out, r->name);
    }
}

Sym sym_replace(SymTab *t, Sym s, const char *const *names, const Sym *values, int n) {
  Poly p = t->poly.at[s];
  if (p.overflow) return s;
  Sym sum = sym_int(t, 0);
  for (uint32_t i = 0; i < p.n; i++) {
    Sym m = sym_int(t, p.term[i].k);
    for (uint32_t j = 0; j < p.term[i].n; j++) {
      AtomRec r = t->atom.at[p.term[i].atom[j]];
      Sym v = 0;
      for (int k = 0; r.name && k < n; k++)
        if (!strcmp(names[k], r.name)) v = values[k];
      if (!v)
        v = r.name ? sym_var(t, r.name)
                   : sym_op(t, r.op, sym_replace(t, r.a, names, values, n), sym_replace(t, r.b, names, values, n));
      m = sym_mul(t, m, v);
    }
    sum = sym_add(t, sum, m);
  }
  return sum;
}

static bool apply(SymCode c, int64_t a, int64_t b, int64_t *r) {
  switch (c) {
  case SYMC_ADD: return !__builtin_add_overflow(a, b, r);
  case SYMC_MUL: return !__builtin_mul_overflow(a, b, r);
  case SYMC_FLOORDIV:
  case SYMC_MOD:
    if (!b || (a == INT64_MIN && b == -1)) return false;
    *r = c == SYMC_MOD ? a - floor_div(a, b) * b : floor_div(a, b);
    return true;
  case SYMC_MIN: *r = a < b ? a : b; return true;
  case SYMC_MAX: *r = a > b ? a : b; return true;
  case SYMC_LT: *r = a < b; return true;
  case SYMC_LE: *r = a <= b; return true;
  case SYMC_EQ: *r = a == b; return true;
  case SYMC_NE: *r = a != b; return true;
  default: return false;
  }
}

static const SymCode CODE[] = {[SYM_FLOORDIV] = SYMC_FLOORDIV,
                               [SYM_MOD] = SYMC_MOD,
                               [SYM_MIN] = SYMC_MIN,
                               [SYM_MAX] = SYMC_MAX,
                               [SYM_LT] = SYMC_LT,
                               [SYM_LE] = SYMC_LE,
                               [SYM_EQ] = SYMC_EQ,
                               [SYM_NE] = SYMC_NE};

bool sym_eval(const SymTab *t, Sym s, SymLookup *lookup, void *ctx, int64_t *out) {
  const Poly *p = &t->poly.at[s];
  if (p->overflow) return false;
  *out = 0;
  for (uint32_t i = 0; i < p->n; i++) {
    int64_t m = p->term[i].k;
    for (uint32_t j = 0; j < p->term[i].n; j++) {
      const AtomRec *r = &t->atom.at[p->term[i].atom[j]];
      int64_t v, a, b;
      if (r->name ? !lookup(ctx, r->name, &v)
                  : !sym_eval(t, r->a, lookup, ctx, &a) || !sym_eval(t, r->b, lookup, ctx, &b) ||
                        !apply(CODE[r->op], a, b, &v))
        return false;
      if (__builtin_mul_overflow(m, v, &m)) return false;
    }
    if (__builtin_add_overflow(*out, m, out)) return false;
  }
  return true;
}

void sym_postfix(const SymTab *t, Sym s, int64_t (*index)(void *, const char *), SymEmit *emit, void *ctx) {
  const Poly *p = &t->poly.at[s];
  if (p->overflow) BUG("postfix code of an overflowed size");
  if (!p->n) emit(ctx, SYMC_INT, 0);
  for (uint32_t i = 0; i < p->n; i++) {
    bool unit = p->term[i].k == 1 && p->term[i].n;
    if (!unit) emit(ctx, SYMC_INT, p->term[i].k);
    for (uint32_t j = 0; j < p->term[i].n; j++) {
      const AtomRec *r = &t->atom.at[p->term[i].atom[j]];
      if (r->name)
        emit(ctx, SYMC_VAR, index(ctx, r->name));
      else {
        sym_postfix(t, r->a, index, emit, ctx);
        sym_postfix(t, r->b, index, emit, ctx);
        emit(ctx, CODE[r->op], 0);
      }
      if (j || !unit) emit(ctx, SYMC_MUL, 0);
    }
    if (i) emit(ctx, SYMC_ADD, 0);
  }
}

static void print_atom(const SymTab *t, const AtomRec *r, Buf *out) {
  static const char *const word[] = {
      [SYM_FLOORDIV] = "//", [SYM_MOD] = "%", [SYM_LT] = "<", [SYM_LE] = "<=", [SYM_EQ] = "==", [SYM_NE] = "!="};
  if (r->name) {
    buf_put(out, r->name);
    return;
  }
  bool call = r->op == SYM_MIN || r->op == SYM_MAX;
  buf_put(out, !call ? "(" : r->op == SYM_MIN ? "min(" : "max(");
  for (int k = 0; k < 2; k++) {
    Sym s = k ? r->b : r->a;
    const Poly *p = &t->poly.at[s];
    bool wrap = !call && !sym_is_int(t, s, NULL) && !(p->n == 1 && p->term[0].k == 1 && p->term[0].n == 1);
    if (k) buf_printf(out, call ? ", " : " %s ", word[r->op]);
    buf_put(out, wrap ? "(" : "");
    sym_print(t, s, out);
    buf_put(out, wrap ? ")" : "");
  }
  buf_put(out, ")");
}

void sym_print(const SymTab *t, Sym s, Buf *out) {
  const Poly *p = &t->poly.at[s];
  if (p->overflow)
    buf_put(out, "overflow");
  else if (!p->n)
    buf_put(out, "0");
  for (uint32_t i = 0; i < p->n; i++) {
    const Term *x = &p->term[i];
    uint64_t k = x->k < 0 ? 0 - (uint64_t)x->k : (uint64_t)x->k;
    buf_put(out, i ? (x->k < 0 ? " - " : " + ") : x->k < 0 ? "-" : "");
    if (k != 1 || !x->n) buf_printf(out, x->n ? "%llu * " : "%llu", (unsigned long long)k);
    for (uint32_t j = 0; j < x->n; j++) {
      if (j) buf_put(out, " * ");
      print_atom(t, &t->atom.at[x->atom[j]], out);
    }
  }
}

const char *sym_text(const SymTab *t, Sym s, Arena *a) {
  Buf b = {0};
  sym_print(t, s, &b);
  char *r = arena_strndup(a, b.at ? b.at : "", b.n);
  buf_free(&b);
  return r;
}

/* ---- what is known -------------------------------------------------------------------------------------------------
 */

typedef struct Range {
  const char *name;
  int64_t lo, hi;
} Range;

struct SymFacts {
  Arena *arena;
  SymTab *tab;
  Vec(Range) range;
  Vec(Sym) ge, zero; /* polynomials that are >= 0, == 0 */
};

SymFacts *sym_facts_new(Arena *a, SymTab *t) {
  SymFacts *f = ARENA_NEW(a, SymFacts);
  f->arena = a;
  f->tab = t;
  return f;
}

SymTab *sym_facts_tab(const SymFacts *f) { return f->tab; }

SymFacts *sym_facts_copy(Arena *a, const SymFacts *old) {
  SymFacts *f = sym_facts_new(a, old->tab);
  for (uint32_t i = 0; i < old->range.n; i++) vec_push(a, &f->range, old->range.at[i]);
  for (uint32_t i = 0; i < old->ge.n; i++) vec_push(a, &f->ge, old->ge.at[i]);
  for (uint32_t i = 0; i < old->zero.n; i++) vec_push(a, &f->zero, old->zero.at[i]);
  return f;
}

static Range *range_of(const SymFacts *f, const char *name) {
  for (uint32_t i = 0; i < f->range.n; i++)
    if (!strcmp(f->range.at[i].name, name)) return &f->range.at[i];
  return NULL;
}

void sym_fact_range(SymFacts *f, const char *name, int64_t lo, int64_t hi) {
  Range *r = range_of(f, name);
  if (r)
    *r = (Range){r->name, lo, hi};
  else
    vec_push(f->arena, &f->range, (Range){str_intern(f->tab->names, name), lo, hi});
}

static int64_t mul_sat(int64_t a, int64_t b) {
  int64_t r;
  if (!__builtin_mul_overflow(a, b, &r)) return r;
  return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static int64_t add_sat(int64_t a, int64_t b, bool up) {
  int64_t r, edge = up ? INT64_MAX : INT64_MIN;
  if (a == edge || b == edge) return edge; /* unbounded stays so */
  return __builtin_add_overflow(a, b, &r) ? (a < 0 ? INT64_MIN : INT64_MAX) : r;
}

static void atom_range(const SymFacts *f, const AtomRec *r, int64_t *lo, int64_t *hi) {
  if (r->name) {
    const Range *x = range_of(f, r->name);
    *lo = x ? x->lo : r->name[0] == '%' ? INT64_MIN : 1;
    *hi = x ? x->hi : r->name[0] == '%' ? INT64_MAX : INT32_MAX;
    return;
  }
  int64_t al, ah, bl, bh;
  sym_range(f, r->a, &al, &ah);
  sym_range(f, r->b, &bl, &bh);
  *lo = INT64_MIN, *hi = INT64_MAX;
  if (r->op == SYM_FLOORDIV && bl > 0) {
    *lo = al == INT64_MIN ? al : floor_div(al, al < 0 ? bl : bh);
    *hi = ah == INT64_MAX ? ah : floor_div(ah, ah < 0 ? bh : bl);
  } else if (r->op == SYM_MOD && bl > 0) {
    *lo = 0;
    *hi = bh == INT64_MAX ? bh : bh - 1;
    if (al >= 0 && ah < *hi) *hi = ah;
  } else if (r->op == SYM_MIN) {
    *lo = al < bl ? al : bl;
    *hi = ah < bh ? ah : bh;
  } else if (r->op == SYM_MAX) {
    *lo = al > bl ? al : bl;
    *hi = ah > bh ? ah : bh;
  } else if (r->op >= SYM_LT) {
    *lo = 0;
    *hi = 1;
  }
}

void sym_range(const SymFacts *f, Sym s, int64_t *lo, int64_t *hi) {
  const Poly *p = &f->tab->poly.at[s];
  *lo = p->overflow ? INT64_MIN : 0;
  *hi = p->overflow ? INT64_MAX : 0;
  for (uint32_t i = 0; i < p->n; i++) {
    int64_t l = p->term[i].k, h = l;
    for (uint32_t j = 0; j < p->term[i].n; j++) {
      int64_t al, ah;
      atom_range(f, &f->tab->atom.at[p->term[i].atom[j]], &al, &ah);
      int64_t c[4] = {mul_sat(l, al), mul_sat(l, ah), mul_sat(h, al), mul_sat(h, ah)};
      l = h = c[0];
      for (int k = 1; k < 4; k++) {
        if (c[k] < l) l = c[k];
        if (c[k] > h) h = c[k];
      }
    }
    *lo = add_sat(*lo, l, false);
    *hi = add_sat(*hi, h, true);
  }
}

/* Whether a fact says that k divides this atom: `B % m == 0` with k dividing m. */
static bool atom_divisible(const SymFacts *f, Atom atom, int64_t k) {
  const SymTab *t = f->tab;
  for (uint32_t i = 0; i < f->zero.n; i++) {
    const Poly *z = &t->poly.at[f->zero.at[i]];
    int64_t m;
    if (z->n != 1 || z->term[0].n != 1) continue;
    const AtomRec *r = &t->atom.at[z->term[0].atom[0]];
    if (r->name || r->op != SYM_MOD || !sym_is_int(t, r->b, &m) || m % k) continue;
    const Poly *p = &t->poly.at[r->a];
    if (p->n == 1 && p->term[0].k == 1 && p->term[0].n == 1 && p->term[0].atom[0] == atom) return true;
  }
  return false;
}

/* Whether k > 0 is known to divide every term of s, or a fact says it of s. */
static bool divisible(const SymFacts *f, Sym s, int64_t k) {
  const Poly *p = &f->tab->poly.at[s];
  bool all = !p->overflow;
  for (uint32_t i = 0; i < p->n && all; i++) {
    int64_t rest = k / gcd(k, p->term[i].k);
    all = rest == 1;
    for (uint32_t j = 0; j < p->term[i].n && !all; j++) all = atom_divisible(f, p->term[i].atom[j], rest);
  }
  if (all) return true;
  Sym m = sym_op(f->tab, SYM_MOD, s, sym_int(f->tab, k));
  for (uint32_t i = 0; i < f->zero.n; i++)
    if (f->zero.at[i] == m) return true;
  return false;
}

/* A positive multiple of s in which a // b, where b (a constant) is known to divide a, is written a / b. */
static Sym clear_quotients(const SymFacts *f, Sym s) {
  SymTab *t = f->tab;
  for (int turn = 0; turn < 4 && f->zero.n; turn++) {
    Poly p = t->poly.at[s];
    Atom q = 0;
    bool found = false;
    for (uint32_t i = 0; i < p.n && !found; i++)
      for (uint32_t j = 0; j < p.term[i].n && !found; j++) {
        AtomRec r = t->atom.at[p.term[i].atom[j]];
        int64_t k;
        if (r.name || r.op != SYM_FLOORDIV || !sym_is_int(t, r.b, &k) || k <= 0) continue;
        found = divisible(f, r.a, k);
        q = p.term[i].atom[j];
      }
    if (!found) return s;
    AtomRec r = t->atom.at[q];
    Sym sum = sym_int(t, 0);
    for (uint32_t i = 0; i < p.n; i++) {
      Atom *m = ARENA_ARRAY(t->arena, Atom, p.term[i].n + 1);
      uint32_t n = 0;
      bool has = false;
      for (uint32_t j = 0; j < p.term[i].n; j++)
        if (!has && p.term[i].atom[j] == q)
          has = true;
        else
          m[n++] = p.term[i].atom[j];
      sum = sym_add(t, sum, sym_mul(t, poly_intern(t, &(Term){p.term[i].k, n, m}, 1), has ? r.a : r.b));
    }
    s = sum;
  }
  return s;
}

/* B * T - B with B, T >= 1: written in what each variable is above its bound, no term is negative. */
static bool nonneg_above(const SymFacts *f, Sym s) {
  SymTab *t = f->tab;
  SymNames names = {0};
  bool product = false;
  for (uint32_t i = 0; i < t->poly.at[s].n; i++) product |= t->poly.at[s].term[i].n > 1;
  if (!product || t->poly.at[s].n > 8) return false;
  sym_names(t, s, f->arena, &names);
  Sym *value = ARENA_ARRAY(f->arena, Sym, names.n + 1);
  for (uint32_t i = 0; i < names.n; i++) {
    int64_t lo, hi;
    Sym v = sym_var(t, names.at[i]);
    sym_range(f, v, &lo, &hi);
    if (lo < -(1 << 30) || lo > 1 << 30) return false;
    value[i] = sym_add(t, v, sym_int(t, lo));
  }
  s = sym_replace(t, s, names.at, value, (int)names.n);
  const Poly *p = &t->poly.at[s];
  if (p->overflow) return false;
  for (uint32_t i = 0; i < p->n; i++) {
    if (p->term[i].k < 0) return false;
    for (uint32_t j = 0; j < p->term[i].n; j++)
      if (!t->atom.at[p->term[i].atom[j]].name) return false;
  }
  return true;
}

static bool nonneg_plain(const SymFacts *f, Sym s) {
  int64_t lo, hi;
  sym_range(f, s, &lo, &hi);
  for (uint32_t i = 0; lo < 0 && i < f->ge.n; i++) sym_range(f, sym_sub(f->tab, s, f->ge.at[i]), &lo, &hi);
  return lo >= 0 || nonneg_above(f, s);
}

/* If the term is k * (a // m) with a constant m > 0: a // m as a Sym, *a and *m; else 0. */
static Sym quotient(SymTab *t, const Term *x, Sym *a, int64_t *m) {
  AtomRec r = x->n == 1 ? t->atom.at[*x->atom] : (AtomRec){.name = ""};
  int64_t k;
  if (r.name || r.op != SYM_FLOORDIV || !sym_is_int(t, r.b, &k) || k <= 0) return 0;
  *a = r.a;
  *m = k;
  return poly_intern(t, &(Term){1, 1, x->atom}, 1);
}

/* A multiple of s, or less, without quotients by constants: a // m - c // m is no less than 0 where a >= c, and
 * a - (m - 1) <= m * (a // m) <= a. */
static Sym without_quotients(const SymFacts *f, Sym s) {
  SymTab *t = f->tab;
  enum { TURNS = 8 };
  for (int turn = 0; turn < TURNS; turn++) {
    Poly p = t->poly.at[s];
    Sym q = 0, a = 0, other = 0;
    int64_t k = 0, m = 0;
    for (uint32_t i = 0; i < p.n && !other; i++) {
      Sym x = quotient(t, &p.term[i], &a, &m);
      if (!x) continue;
      q = x;
      k = p.term[i].k;
      for (uint32_t j = 0; j < p.n && !other && k > 0; j++) {
        Sym c = 0, y;
        int64_t n = 0;
        if (p.term[j].k >= 0 || !(y = quotient(t, &p.term[j], &c, &n))) continue;
        if (n != m || !nonneg_plain(f, sym_sub(t, a, c))) continue;
        other = y;
        if (-p.term[j].k < k) k = -p.term[j].k;
      }
    }
    if (!q) return s;
    if (other) {
      s = sym_add(t, s, sym_mul(t, sym_int(t, k), sym_sub(t, other, q)));
      continue;
    }
    Sym rest = sym_sub(t, s, sym_mul(t, sym_int(t, k), q)), bound = k > 0 ? sym_sub(t, a, sym_int(t, m - 1)) : a;
    s = sym_add(t, sym_mul(t, rest, sym_int(t, m)), sym_mul(t, sym_int(t, k), bound));
  }
  return s;
}

bool sym_nonneg(const SymFacts *f, Sym s) {
  s = clear_quotients(f, s);
  return nonneg_plain(f, s) || nonneg_plain(f, without_quotients(f, s));
}

bool sym_same(const SymFacts *f, Sym a, Sym b) {
  if (a == b) return !sym_overflowed(f->tab, a);
  Sym d = clear_quotients(f, sym_sub(f->tab, a, b)), m = sym_sub(f->tab, sym_int(f->tab, 0), d);
  int64_t k;
  if (sym_is_int(f->tab, d, &k)) return k == 0;
  for (uint32_t i = 0; i < f->zero.n; i++)
    if (f->zero.at[i] == d || f->zero.at[i] == m) return true;
  return false;
}

int sym_decide(const SymFacts *f, SymOp op, Sym a, Sym b) {
  SymTab *t = f->tab;
  Sym one = sym_int(t, 1), ba = sym_sub(t, b, a), ab = sym_sub(t, a, b);
  if (op == SYM_EQ || op == SYM_NE) {
    int eq = sym_same(f, a, b) ? 1 : sym_nonneg(f, sym_sub(t, ab, one)) || sym_nonneg(f, sym_sub(t, ba, one)) ? 0 : -1;
    return op == SYM_EQ || eq < 0 ? eq : !eq;
  }
  Sym yes = op == SYM_LE ? ba : sym_sub(t, ba, one), no = op == SYM_LE ? sym_sub(t, ab, one) : ab;
  return sym_nonneg(f, yes) ? 1 : sym_nonneg(f, no) ? 0 : -1;
}

void sym_fact(SymFacts *f, SymOp op, Sym a, Sym b) {
  SymTab *t = f->tab;
  if (op == SYM_NE) return;
  if (op == SYM_EQ) vec_push(f->arena, &f->zero, sym_sub(t, a, b));
  for (int side = 0; side < 1 + (op == SYM_EQ); side++) {
    Sym d = side ? sym_sub(t, a, b) : sym_sub(t, b, a); /* d >= 0 */
    if (op == SYM_LT) d = sym_sub(t, d, sym_int(t, 1));
    vec_push(f->arena, &f->ge, d);
    Poly p = t->poly.at[d];
    if (p.overflow || !p.n || p.n > 2 || p.term[0].n != 1 || (p.n == 2 && p.term[1].n)) continue;
    const char *name = t->atom.at[p.term[0].atom[0]].name;
    if (!name) continue;
    int64_t c = p.term[0].k, k = p.n == 2 ? p.term[1].k : 0; /* c * name + k >= 0 */
    const Range *old = range_of(f, name);
    Range r = old ? *old : (Range){name, name[0] == '%' ? INT64_MIN : 1, name[0] == '%' ? INT64_MAX : INT32_MAX};
    if (c > 0) { /* a lower bound that is said replaces the default of 1 */
      int64_t lo = -floor_div(k, c);
      r.lo = !old || lo > r.lo || (old->lo == 1 && lo < 1) ? lo : r.lo;
    } else {
      int64_t hi = floor_div(k, -c);
      if (hi < r.hi || r.hi == INT32_MAX) r.hi = hi;
    }
    sym_fact_range(f, name, r.lo, r.hi);
  }
}

Sym sym_divided(const SymFacts *f, Sym a, Sym b) {
  Sym q = sym_exact(f->tab, a, b);
  int64_t k;
  if (q) return q;
  if (sym_is_int(f->tab, b, &k) && k > 0) return divisible(f, a, k) ? sym_op(f->tab, SYM_FLOORDIV, a, b) : 0;
  Sym m = sym_op(f->tab, SYM_MOD, a, b);
  return !sym_overflowed(f->tab, m) && sym_same(f, m, sym_int(f->tab, 0)) ? sym_op(f->tab, SYM_FLOORDIV, a, b) : 0;
}

bool sym_divides(const SymFacts *f, int64_t k, Sym s) { return sym_divided(f, s, sym_int(f->tab, k)) != 0; }
