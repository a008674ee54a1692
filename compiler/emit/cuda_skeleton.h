/* Products by kernels written by hand. A stage that says what of it is operand, sum and epilogue (LoopProduct) becomes
 * functions for the holes of a skeleton of kernels/cuda, printed as the plain form is, and the skeleton's text. */
#ifndef SINTER_EMIT_CUDA_SKELETON_H
#define SINTER_EMIT_CUDA_SKELETON_H
#include "cuda_print.h"

/* What cuda_text_stage does, if a skeleton fits; else false, and nothing is changed. */
bool cuda_skeleton_stage(Kernel *, const Stage *, const CudaWanted *, CudaStage *made, Buf *out);

bool cuda_attention_stage(Kernel *, const Stage *, const CudaWanted *, CudaStage *made, Buf *out);
bool cuda_attention_grad_stage(Kernel *, const Stage *, const CudaWanted *, CudaStage *made,
                               Buf *out); /* cuda_attention.c */
/* Why no skeleton stands for the attention, or its gradient, that a stage is; NULL: one does, or it is neither. */
const char *cuda_attention_unfit(const Kernel *, const Stage *);

/* ---- holes (cuda_holes.c). Skeletons see every group of axes flat: rows as m, columns as n, sums as k. ---- */

enum { HOLE_AXES = 3 };

typedef struct HoleAxes { /* a group of axes in one function */
  const char *name;       /* of the flat number, a parameter */
  const LoopAxes *axes;
  Ex flat, var[LOOP_RANK]; /* var[i] is flat where there is one axis */
  bool touched[LOOP_RANK];
} HoleAxes;

typedef struct Hole { /* a function that is being made of statements of the stage */
  Kernel *k;
  const Stage *stage;
  const LoopProduct *p;
  HoleAxes group[HOLE_AXES]; /* outer; rows or columns; sums or columns */
  int ngroups, lanes;
  uint32_t nvars;
  Ex *map; /* of a variable of the stage: what stands for it; 0: itself */
  bool *need, *seen;
  Stmt *text;   /* the body */
  uint32_t reg; /* its elements, or the sums */
  Ex sum;       /* what stands for the sum; 0: it may not be read */
  /* of an address */
  uint32_t buf;
  Ex index[LOOP_RANK], there; /* there: 0, or whether anything is */
  int nindex;
} Hole;

typedef struct Operand { /* how an operand can be brought into a tile */
  bool along_k;          /* neighbours are taken along k, else along the rows (of b: the columns) */
  bool wide;             /* they never leave their axis, so that accesses are of all of them at once */
  bool in_memory;        /* they lie side by side, 16 bytes at a multiple of 16: `at` gives their address */
  Hole load, at;         /* load: where they are not in memory */
} Operand;

/* Operands as runs of `lanes` neighbours of a type, and the epilogue for `lanes` neighbouring columns. False: there is
 * something in them that no function can hold. New expressions and variables come into the kernel: everything is made
 * before anything is printed. */
bool hole_operand(Kernel *, const Stage *, bool right, DType, int lanes, Operand *);
/* The load that a value is, through lets and conversions from `type`, or 0; *there: the condition without which the
 * value is 0, or 0. */
Ex hole_load(const Kernel *, Ex, DType type, Ex *there);
bool hole_divides(const Kernel *, int lanes, Sym size);      /* as a number, or as a fact of the kernel */
bool hole_store(Kernel *, const Stage *, int lanes, Hole *); /* where there are sums it gives the values to be summed */
void hole_partial(Kernel *, const Stage *, Hole *);          /* stores what a tile has summed */

typedef struct HoleText { /* what all functions of a kernel share when they are printed */
  Cuda *c;
  const Givens *given;
  const char *name; /* of the kernel */
  Buf *out;
} HoleText;
void hole_print_size(const HoleText *, const char *suffix, const LoopAxes *);
void hole_print_terms(const HoleText *, const LoopProduct *);  /* NAME_from, NAME_to: which terms a product sums */
void hole_print(const HoleText *, const char *suffix, Hole *); /* v[lanes] in or out */
void hole_print_at(const HoleText *, const char *suffix, Hole *);

/* ---- what the skeletons share (cuda_skeleton.c) ---- */

typedef struct ProductParts { /* everything that is made before anything is printed */
  Operand a, b;
  Hole store, partial; /* partial: if there are sums */
  int columns;         /* that the epilogue stores at once */
} ProductParts;

typedef struct SkeletonText { /* of one kernel, while it is made */
  Cuda c;
  Givens given;
  Buf text;
  CudaStage stage; /* name, arguments and `fails` are set */
  HoleText holes;
} SkeletonText;

/* The epilogue's holes, for as many columns at once as its types want; false: it fits no function. */
bool skeleton_epilogue(Kernel *, const Stage *, ProductParts *);
/* NAME_args, NAME_index, NAME_outer, NAME_M, NAME_N, NAME_from, NAME_to, NAME_store, NAME_partial, GEMM_NAME,
 * GEMM_BEGIN, GEMM_VC, GEMM_SUMS. */
void skeleton_open(SkeletonText *, Kernel *, const Stage *, const CudaWanted *, ProductParts *);
/* Begins with NAME_args alone; `parts` and the rest of skeleton_open are a product's. */
void skeleton_begin(SkeletonText *, Kernel *, const Stage *, const CudaWanted *);
void skeleton_define(SkeletonText *, const char *name, int value); /* GEMM_<name> */
void skeleton_operand(SkeletonText *, bool right, Operand *);   /* NAME_a_at or NAME_a_load, GEMM_A_AT, _A_K, _A_WIDE */
bool skeleton_close(SkeletonText *, CudaStage *made, Buf *out); /* false: it cannot be printed, nothing is appended */
#endif
