/* Kernels of the Loop IR as C with vector extensions, which gcc and clang take: `sinter bench --emit c` writes one
 * fused kernel as a program of its own, for those who want to read, change and time it. c_text.c prints stages,
 * c_vector.c the functions on vectors that they call, c_program.c data, main and timing around them. */
#ifndef SINTER_EMIT_C_TEXT_H
#define SINTER_EMIT_C_TEXT_H
#include "loop.h"
#include "target.h"

typedef struct CProgram {
  Kernel *kernel; /* verified; vector maths expanded */
  const Target *target;
  const char *name, *about; /* of the kernel; what it computes, lines for the comment */
  const int *stages;        /* those that run, in order */
  int nstages;
  const int64_t *dims;  /* a value for each dimension of the kernel */
  int64_t flops, bytes; /* of one run */
} CProgram;

/* False: *why is one sentence that says what cannot be written as C. The same request gives the same text. */
bool c_program(const CProgram *, Buf *out, const char **why);

/* ---- shared by the three files ---- */
typedef struct CText {
  Kernel *k;
  const Target *target;
  Arena *arena;
  Buf types, helpers, out;     /* typedefs; functions on vectors; the stage being printed */
  Vec(const char *) made;      /* keys of what types and helpers hold */
  const char *error;           /* the first thing that cannot be written */
  int depth;                   /* of blocks, for blanks */
  uint32_t names;              /* made so far */
  const char *mask;            /* of the lanes that are active; NULL: all */
  const char **var;            /* LET and what runs: by variable; of a vector loop the index of lane 0 */
  int64_t *turn;               /* of unrolled loops, where `unrolled` says so */
  bool *unrolled, *used;       /* used: some expression names it */
  uint32_t *uses, *stamp, now; /* of expressions in the statement being printed */
  const char **memo;
} CText;

bool c_stage(CText *, const Stage *, const char *name); /* appends to c->out; false after c->error */
DType c_number(DType, int lanes);                       /* idx is i64, in vectors i32: c_program checks the sizes */
const char *c_element(DType);                           /* "float"; bool: as in memory */
const char *c_type(CText *, DType, int lanes);     /* "f32x16", declared; a vector of bool is one of i32, 0 or -1 */
const char *c_memory(CText *, DType, int lanes);   /* "f32x16_at": anywhere in memory */
const char *c_buffer(const CText *, uint32_t buf); /* its name */
int64_t c_size(const CProgram *, Sym);             /* at the dimensions of the request */
int64_t c_elements(const CProgram *, int buf);     /* that a parameter takes in memory */

/* c_vector.c: each returns the name of a function that the text now has. */
const char *c_call(CText *, Op, DType, int lanes); /* of operands of one type; EXTREME below */
const char *c_splat(CText *, DType, int lanes);
const char *c_fail(CText *);            /* sets `failed`, which the program has */
const char *c_iota(CText *, int lanes); /* idx 0, 1, .. */
const char *c_any(CText *, int lanes, bool all);
const char *c_select(CText *, DType, int lanes);
/* max or min where a literal decides about NaN and zeros: a > b ? a : b */
const char *c_quick(CText *, Op, DType, int lanes);
const char *c_fold(CText *, Op, DType, int lanes); /* HADD, HMAX, HMIN */
const char *c_saturate(CText *, DType from, DType to, int lanes);
const char *c_bits(CText *, DType from, DType to); /* of scalars */
const char *c_half(CText *, DType from, DType to,
                   int lanes);                  /* between f32 and 16 bits, an instruction or little more */
const char *c_load(CText *, DType, int lanes);  /* (address, mask, other) */
const char *c_store(CText *, DType, int lanes); /* (address, mask, value) */
const char *c_permute(CText *, DType, int lanes, int index_lanes, bool two);
#endif
