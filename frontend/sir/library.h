/* The builtins: what lib/NAME.sir is written in and every program can call. lib.def is the table, lib_table.c looks
 * names up in it, the other lib_*.c hold the functions. This header is what these files share; the tracer sees only
 * tracer.h. */
#ifndef SINTER_SIR_LIBRARY_H
#define SINTER_SIR_LIBRARY_H
#include "tracer.h"

/* Both are always false; said so that compilers see it too. */
#define trace_fault(...) (trace_fault(__VA_ARGS__) && false)
#define trace_later(...) (trace_later(__VA_ARGS__) && false)

#define TRY(x)                                                                                                         \
  do {                                                                                                                 \
    if (!(x)) return false;                                                                                            \
  } while (0)

#define LIB(space, name, fn, op, raw, params, doc) bool lib_##fn(Tracer *, const BuiltinArgs *, Value *);
#include "lib.def"
#undef LIB

/* The page of signatures (frontend/sir/library.md): the table above and what lib/NAME.sir declares. */
void lib_print_signatures(Buf *);

/* ---- arguments. All fault and return false for what does not fit; `what` begins the sentence. */
int lib_dims(Tracer *, Id x,
             Sym *shape); /* copies the shape (graph_shape's pointer dies with the next node); the rank */
bool lib_shape(Tracer *, Value list, const char *what, Sym *shape,
               int *rank);                                    /* sizes >= 0, at most MAX_RANK of them */
bool lib_axes(Tracer *, Id x, Value axis, int *axes, int *n); /* an int or a list; ascending; none: all of them */
bool lib_axis(Tracer *, Id x, int64_t axis, int *k);
bool lib_dtype(Tracer *, DType);                                  /* refuses those of later versions */
bool lib_number(Value, double *);                                 /* an INT or FLOAT as a float */
const char *lib_shape_text(Tracer *, const Sym *shape, int rank); /* "[B, 4]" */

/* ---- seams between the lib files */
Value lib_form(Tracer *, Value); /* a module becomes the record of its trainable params, as references */
bool lib_bind_values(Tracer *, Value net, Value record, DType dtypes, Value *out); /* bind and cast */
#endif
