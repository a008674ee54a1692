/* What the shape rules (infer*.c) share. A rule checks one op's operands and attributes and fills in dtype and shape
 * (graph/infer.h); on a mistake it says one sentence at the place of the node to be and returns false. */
#ifndef SINTER_OP_OP_RULES_H
#define SINTER_OP_OP_RULES_H
#include "infer.h"

/* "`add` of f32[2] and f32[3]: " and the sentence. Returns false. */
bool infer_fail(const Infer *, const char *id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *infer_operands(const Infer *); /* "f32[2] and f32[3]" */
const char *infer_sym(const Infer *, Sym);
bool infer_take(Infer *, Id x);                           /* the node's type is that of x; true */
bool infer_dtype(const Infer *, Id x);                    /* the dtypes column admits x */
bool infer_one_dtype(const Infer *, const Id *in, int n); /* it admits all, and they are one */
bool infer_axis(const Infer *, int64_t axis, int rank);
bool infer_rising(const Infer *, int attr, int rank); /* the attribute's words are distinct axes in rising order */
bool infer_shape(Infer *, int attr);                  /* the node's shape is this attribute */
bool infer_size(const Infer *, Sym);                  /* not overflowed, not known to be negative */

/* infer_move.c */
InferRule infer_same, infer_broadcast, infer_reshape, infer_transpose, infer_slice, infer_pad, infer_concat;
InferRule infer_gather, infer_scatter, infer_dynamic_slice, infer_dynamic_update;

/* infer_window.c */
InferRule infer_conv, infer_window, infer_select_scatter, infer_select_gather;
#endif
