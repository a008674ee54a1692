/* Ops and what is known of each, from ops.def. The functions named in the table are in compiler/op/, which defines
 * OP_INFO; this header is all that graph and loop need. */
#ifndef SINTER_GRAPH_OP_H
#define SINTER_GRAPH_OP_H
#include "dtype.h"

typedef enum {
  OP_NONE, /**/
#define OP(NAME, ...) OP_##NAME,
#include "ops.def"
#undef OP
  OP_COUNT
} Op;

typedef enum {
  CLASS_LEAF,
  CLASS_UNARY,
  CLASS_BINARY,
  CLASS_COMPARE,
  CLASS_SELECT,
  CLASS_CONVERT,
  CLASS_MOVE,
  CLASS_INDEX,
  CLASS_REDUCE,
  CLASS_ARG,
  CLASS_DOT,
  CLASS_WINDOW,
  CLASS_BODY,
  CLASS_LOOP
} OpClass;
enum { OPF_COMM = 1, OPF_ASSOC = 2, OPF_UNIQUE = 4, OPF_FAILS = 8 };

typedef struct OpInfo {
  const char *name, *text; /* "ADD", "add" */
  int8_t arity;
  uint8_t cls, flags;
  const char *dtypes, *attrs, *defined, *llvm, *cuda;
} OpInfo;
extern const OpInfo OP_INFO[OP_COUNT]; /* graph/op.c */

Op op_parse(const char *text); /* graph ops by their text; OP_NONE */
static inline bool op_elementwise(Op o) { return OP_INFO[o].cls >= CLASS_UNARY && OP_INFO[o].cls <= CLASS_CONVERT; }
bool op_takes(Op, DType); /* whether the dtypes column admits it */

/* Attribute k of an op: its name and kind letter (see ops.def); false past the last. */
bool op_attr(Op, int k, const char **name, int *name_len, char *kind);
int op_attr_index(Op, const char *name, size_t n); /* -1 if there is none */
#endif
