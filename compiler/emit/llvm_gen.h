/* Inside of the LLVM emitter: the state of one stage while it is emitted, and what the files share.
 *
 * Indices are polynomials over atoms (dimensions, task axes, loop variables, values that are none of these), so that an
 * address splits by itself into what changes at each depth of the loops: a part is computed at the outermost place
 * where its atoms are known, and only a constant displacement and the innermost variable are left inside. Every integer
 * operation on atoms goes through one table of known results, valid within its scope. Values of other types are emitted
 * where their statement stands. Order of emission, not addresses of LLVM's objects, decides everything: output is
 * reproducible. */
#ifndef SINTER_EMIT_LLVM_GEN_H
#define SINTER_EMIT_LLVM_GEN_H
#include "loop_pressure.h"
#include "target.h"
#include <llvm-c/Core.h>

typedef uint32_t Atom; /* 0: none */

typedef struct AtomInfo {
  LLVMValueRef v;   /* i64 or ptr */
  int depth;        /* of the scope from which on it is known */
  int64_t lo, hi;   /* bounds; INT64_MIN, INT64_MAX: not known */
  int64_t multiple; /* is a multiple of this; 1: nothing known */
} AtomInfo;

enum { POLY_TERMS = 24, POLY_FACTORS = 4 };
typedef struct Term {
  int64_t c;
  Atom f[POLY_FACTORS]; /* ascending */
  uint8_t nf;
  bool lane; /* times the number of the lane */
} Term;
typedef struct Poly { /* an index: sum of terms, and of a vector that is not affine in the lane */
  int lanes, n;
  int64_t c;
  LLVMValueRef vec; /* <lanes x i64> or NULL */
  Term t[POLY_TERMS];
} Poly;

typedef struct Known { /* results of operations on atoms */
  uint32_t op;
  Atom a, b, r;
  uint32_t next, home; /* home: the scope its code stands in */
} Known;

typedef struct Scope {
  bool loop;
  LLVMBasicBlockRef pre; /* loop: its preheader, which already has its terminator */
  uint32_t known;        /* entries of g->known at its start */
} Scope;

typedef struct Bind { /* value of a variable */
  bool index;
  Poly p;
  LLVMValueRef v;
} Bind;

typedef struct Slot { /* a place in the table of constants of a stage */
  LLVMValueRef value; /* a vector in all lanes alike, or an element */
  int bytes;
  LLVMBasicBlockRef block; /* that read it last, and the turn of an unrolled loop in which it did */
  uint32_t turn;
} Slot;

enum { GEN_SCOPES = 64, KNOWN_SLOTS = 1024 };
typedef struct Gen {
  Arena *arena;
  LLVMContextRef cx;
  LLVMModuleRef mod;
  LLVMBuilderRef b;
  const Target *target;
  const LoopModule *module;
  Kernel *k;
  Stage *stage;
  const char *error; /* the first thing that is not supported */
  LLVMTypeRef t_void, t_ptr, t_i1, t_i8, t_i16, t_i32, t_i64, t_f32, t_f64;
  LLVMValueRef zero; /* 8 zero bytes: what inactive lanes read */
  unsigned md_invariant, md_weights;
  LLVMValueRef md_empty, md_unlikely;

  LLVMValueRef fn, call, tid, task;
  LLVMBasicBlockRef entry;
  Vec(AtomInfo) atom;
  Vec(Known) known;
  uint32_t known_slot[KNOWN_SLOTS];
  Scope scope[GEN_SCOPES];
  int nscope;
  Atom *dim_atom, *buf_atom;
  bool *shared_in; /* an input of whose memory nothing is stored through another name */
  Bind **var;
  uint32_t *reg_at; /* first element of each register in reg */
  LLVMValueRef *reg;
  int nreg;               /* elements in all */
  LLVMValueRef *ex_value; /* of the statement being emitted */
  uint32_t *ex_stamp, stamp;
  uint8_t *ex_need; /* of loop_need */
  bool *ex_held;    /* a literal that may stay in a register; of the others each use reads the table */
  Vec(Slot) slot;
  LLVMValueRef table, table_base;
  uint32_t turn, fenced; /* of unrolled loops, counted over the stage; the last that begins with a fence */
  int alive;             /* vectors, at most, by loop_pressure */
  bool tight;            /* more values are alive in the stage than there are registers */
  uint8_t *ex_reads;     /* whether it loads a scalar: 1 no, 2 yes, 0: not known yet */
  Atom *ex_atom;         /* of opaque scalar indices */
  LLVMValueRef mask;     /* lanes that are active, or NULL */
  int64_t stack;         /* bytes of allocs */
} Gen;

void gen_refuse(Gen *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* llvm_index.c */
Atom atom_new(Gen *, LLVMValueRef, int depth, int64_t lo, int64_t hi, int64_t multiple);
int gen_depth(const Gen *); /* of a value made here */
void scope_push(Gen *, bool loop, LLVMBasicBlockRef pre);
void scope_pop(Gen *);
Poly poly_int(int64_t);
Poly poly_of_atom(Atom);
Poly poly_add(Gen *, const Poly *, const Poly *, int64_t sign);
Poly poly_mul(Gen *, const Poly *, const Poly *);
Poly poly_divide(Gen *, bool mod, const Poly *, const Poly *); /* floor */
Poly poly_extreme(Gen *, bool max, const Poly *, const Poly *);
Poly poly_sym(Gen *, Sym);
Poly poly_ex(Gen *, Ex); /* of dtype idx */
bool poly_is_int(const Poly *, int64_t *);
void poly_range(const Gen *, const Poly *, int64_t *lo, int64_t *hi);
bool poly_divisible(const Gen *, const Poly *, int64_t);
Poly poly_lane0(const Poly *, int lanes);                        /* the part that is the same in all lanes */
bool poly_stride(const Poly *, Poly *stride);                    /* false if it is not affine in the lane */
LLVMValueRef poly_scalar(Gen *, const Poly *);                   /* i64 */
LLVMValueRef poly_vector(Gen *, const Poly *, int lanes);        /* <lanes x i64> */
LLVMValueRef poly_narrow(Gen *, const Poly *, DType, int lanes); /* as integers of another size, lane by lane */
LLVMValueRef poly_compare(Gen *, Op, const Poly *, const Poly *, int lanes);
Poly gen_offset(Gen *, uint32_t buf, const Ex *index, int n);                   /* in elements, by the layout */
LLVMValueRef gen_address(Gen *, uint32_t buf, const Poly *offset);              /* of lane 0, or the scalar */
LLVMValueRef gen_addresses(Gen *, uint32_t buf, const Poly *offset, int lanes); /* <lanes x ptr> */

/* llvm_const.c: literals that vectors meet. What does not fit into registers beside the values of the stage is read
 * from a table in memory, as an operand of the instruction that wants it. */
void const_begin(Gen *); /* before the body of a stage, g->stage */
void const_end(Gen *);
bool const_crowded(const Gen *, const Stmt *unrolled, int64_t turns); /* so many loads that its turns stay apart */
void const_turn(Gen *);                                               /* at the start of such a turn */
void const_apart(Gen *);                                              /* at the end of a loop of one turn */
LLVMValueRef const_operand(Gen *, Ex literal, LLVMValueRef vector);   /* vector, or a load of it */

/* llvm_expr.c */
LLVMTypeRef gen_type(Gen *, DType, int lanes); /* in registers: bool is i1, f16 and bf16 their bits */
LLVMTypeRef gen_memory_type(Gen *, DType, int lanes);
LLVMValueRef gen_splat(Gen *, LLVMValueRef, int lanes);
LLVMValueRef gen_iota(Gen *, LLVMTypeRef element, int lanes);
LLVMValueRef gen_value(Gen *, Ex);
LLVMValueRef gen_value_raw(Gen *, Ex);              /* of an index that is no polynomial, too */
LLVMValueRef gen_value_lanes(Gen *, Ex, int lanes); /* splat if it is a scalar */
LLVMValueRef gen_call(Gen *, const char *intrinsic, LLVMTypeRef *types, int ntypes, LLVMValueRef *args, int nargs);
LLVMValueRef gen_any(Gen *, LLVMValueRef mask);
LLVMValueRef gen_int_vector(LLVMTypeRef element, const int64_t *, int n);
void gen_store(Gen *, uint32_t buf, const Ex *index, int n, LLVMValueRef value, int lanes, LLVMValueRef mask);
LLVMValueRef gen_and(Gen *, LLVMValueRef, LLVMValueRef); /* of masks; NULL is all */

/* llvm_stmt.c */
LLVMValueRef gen_stage(Gen *, const char *symbol); /* the function; g->k and g->stage are set */
LLVMBasicBlockRef gen_block(Gen *, const char *name);
#endif
