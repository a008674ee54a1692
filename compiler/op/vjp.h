/* Gradient rules: what each op hands back to its operands. One function for each name of the `vjp` column of ops.def;
 * pass/autodiff.c walks the graph and calls them. Kinks: extremes share ties, abs has slope 0 at 0, sqrt slope inf at
 * 0. */
#ifndef SINTER_OP_VJP_H
#define SINTER_OP_VJP_H
#include "graph.h"

/* Appends to g the cotangents of the operands of y. ct: of each result of y (0: nothing flows; with one result never
 * 0). want[i]: whether operand i needs its cotangent; out[i] (0 before) is set for those where something flows. A
 * cotangent has the shape of y where a rank-0 operand met a larger one: the caller sums it. False after a diag_error.
 */
typedef bool Vjp(Graph *g, Id y, const Id *ct, const bool *want, Id *out);

#define OP(NAME, text, arity, cls, flags, dtypes, attrs, shape, vjp, ...) Vjp vjp_##vjp;
#include "ops.def"
#undef OP
#endif
