/* Algebra on the graph: the rules of simplify.rules until none applies. Every rule lowers, in this order, the
 * ranks (plus one each) summed over element-wise nodes, products and what reductions read; the number of movements; the
 * numbers of negations and constants. So the end is reached. */
#ifndef SINTER_PASS_SIMPLIFY_H
#define SINTER_PASS_SIMPLIFY_H
#include "graph.h"

enum {
  SIMPLIFY_EXACT = 1,   /* the same bits for every bit pattern (NaNs are one) */
  SIMPLIFY_INT = 2,     /* exact on integers and bools; not applied to floats */
  SIMPLIFY_REASSOC = 4, /* sums and products of floats in another order or number */
  SIMPLIFY_FAST = 8,    /* signs of zeros, NaN, infinities may change: needs the user's leave */
  SIMPLIFY_DEFAULT = SIMPLIFY_EXACT | SIMPLIFY_INT | SIMPLIFY_REASSOC
};

/* Called after each step: node `before` of g was replaced by `after`. */
typedef void SimplifyTrace(void *ctx, const char *rule, const Graph *g, Id before, Id after);

typedef struct Simplify {
  int modes;            /* SIMPLIFY_... */
  SimplifyTrace *trace; /* or NULL */
  void *trace_ctx;
} Simplify;

/* A GraphPass (pass.h); ctx is a Simplify, NULL for the default modes. Bodies are simplified too. */
bool pass_simplify(void *ctx, const Graph *from, Graph *to, Id *map);

/* The rules, for tests and `sinter explain`. One step of one rule at v, without looking at other rules: 0 if it does
 * not apply. `single`: no other node uses the operands of v. */
int simplify_rules(void);
const char *simplify_rule_name(int rule);
int simplify_rule_mode(int rule);
Id simplify_rule_try(int rule, Graph *, Id v, bool single);
/* The left side of a rule with a pattern, its letters standing for these nodes (by letter), its numbers of type d; 0 if
 * the rule has no pattern, is not for this type, or a letter has no node. */
Id simplify_rule_example(int rule, Graph *, DType d, const Id letters[26]);
#endif
