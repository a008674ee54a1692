/* The one integer algebra: shapes, strides, extents, offsets, guards, workspace formulas. A Sym is an interned
 * polynomial with integer coefficients over atoms (dimension names, floor quotients and remainders, min, max, 0/1
 * comparisons), so equal expressions are the same number and `==` compares them. What is known of the dimensions
 * (bounds, equalities, divisibility) lies apart, in SymFacts. Constants that do not fit in 64 bits become the overflow
 * Sym (sym_overflowed), which stays what it is under every operation and evaluates to an error. */
#ifndef SINTER_SYM_SYM_H
#define SINTER_SYM_SYM_H
#include "str.h"
#include "vec.h"
#include <stdbool.h>

typedef uint32_t Sym; /* 0 is "none"; never a value */
typedef struct SymTab SymTab;

typedef enum { SYM_FLOORDIV, SYM_MOD, SYM_MIN, SYM_MAX, SYM_LT, SYM_LE, SYM_EQ, SYM_NE } SymOp;

SymTab *sym_tab_new(Arena *, StrTab *);
Sym sym_int(SymTab *, int64_t);
Sym sym_var(SymTab *, const char *name); /* the dimension (or index value) of this name */
Sym sym_add(SymTab *, Sym, Sym);
Sym sym_sub(SymTab *, Sym, Sym);
Sym sym_mul(SymTab *, Sym, Sym);
Sym sym_op(SymTab *, SymOp, Sym, Sym); /* floor division and modulo round to -inf; comparisons give 0 or 1 */
Sym sym_div_up(SymTab *, Sym, Sym);    /* cdiv(a, b): (a + b - 1) // b */
Sym sym_round_up(SymTab *, Sym, Sym);  /* up(a, b): cdiv(a, b) * b */
Sym sym_exact(SymTab *, Sym a, Sym b); /* a / b as a polynomial, or 0 if the division leaves something */
Sym sym_product(SymTab *, const Sym *, int n);

bool sym_is_int(const SymTab *, Sym, int64_t *value); /* value may be NULL */
bool sym_overflowed(const SymTab *, Sym);
const char *sym_var_name(const SymTab *, Sym); /* the name if the Sym is one bare variable, else NULL */

/* Names of the variables in s, each once, appended in order of appearance. */
typedef Vec(const char *) SymNames;
void sym_names(const SymTab *, Sym, Arena *, SymNames *);
Sym sym_replace(SymTab *, Sym, const char *const *names, const Sym *values, int n);

/* Evaluates with checked 64-bit arithmetic. `lookup` gives a variable's value, false if it has none. False on overflow,
 * division by zero or an unknown variable. */
typedef bool SymLookup(void *ctx, const char *name, int64_t *value);
bool sym_eval(const SymTab *, Sym, SymLookup *, void *ctx, int64_t *out);

void sym_print(const SymTab *, Sym, Buf *); /* `4 * (B // 2) + N`; reads back by sym_parse */
const char *sym_text(const SymTab *, Sym, Arena *);

/* Postfix code for artefacts (runtime/abi.h executes it): `emit` gets an operation and, for SYMC_INT and SYMC_VAR, its
 * operand (VAR: what `index` gives for the name). */
typedef enum {
  SYMC_INT,
  SYMC_VAR,
  SYMC_ADD,
  SYMC_MUL,
  SYMC_FLOORDIV,
  SYMC_MOD,
  SYMC_MIN,
  SYMC_MAX,
  SYMC_LT,
  SYMC_LE,
  SYMC_EQ,
  SYMC_NE
} SymCode;
typedef void SymEmit(void *ctx, SymCode, int64_t operand);
void sym_postfix(const SymTab *, Sym, int64_t (*index)(void *ctx, const char *name), SymEmit *, void *ctx);

/* What `where` clauses and asserts say of the dimensions. A dimension without a bound is 1 to 2^31-1. */
typedef struct SymFacts SymFacts;
SymFacts *sym_facts_new(Arena *, SymTab *);
SymFacts *sym_facts_copy(Arena *, const SymFacts *);
void sym_fact_range(SymFacts *, const char *name, int64_t lo, int64_t hi); /* replaces the range of a dimension */
void sym_fact(SymFacts *, SymOp, Sym a, Sym b); /* SYM_LT, LE, EQ, NE: learns a bound, a polynomial >= 0 or == 0 */
void sym_range(const SymFacts *, Sym, int64_t *lo, int64_t *hi); /* saturates at INT64_MIN, INT64_MAX */
bool sym_nonneg(const SymFacts *, Sym);                          /* known to be >= 0 */
bool sym_same(const SymFacts *, Sym, Sym);                       /* known to be equal */
int sym_decide(const SymFacts *, SymOp, Sym a, Sym b);           /* 1 known true, 0 known false, -1 not decided */
Sym sym_divided(const SymFacts *, Sym a, Sym b);                 /* a / b, or 0 if b is not known to divide a */
bool sym_divides(const SymFacts *, int64_t k, Sym);              /* k is known to divide s */
SymTab *sym_facts_tab(const SymFacts *);
#endif
