/* Entries for the operator matrix: graphs around one op each, with what their inputs are filled with and how close
 * their outputs are to come to the reference. Shapes are written with a letter an axis: N 1 to 262147, L 1 to 131075, D
 * 1 to 205: large enough for several threads;  M 1 to 45, B 1 to 7, K 1 to 70 m M - 1 (empty at size 1), p M + 3, q M +
 * 8, x B M, s 6 M, t 3 M;  W 40; a digit is itself */
#ifndef SINTER_TESTS_MATRIX_MATRIX_H
#define SINTER_TESTS_MATRIX_MATRIX_H
#include "native.h"

typedef enum {
  FILL_WILD,  /* corner cases of the type, pairs of them over two inputs, all magnitudes */
  FILL_EXACT, /* floats: eighths in [-2, 2], so that sums and products are exact; integers of all sizes */
  FILL_TAME,  /* floats in [-1, 3] of any bits */
  FILL_INDEX, /* 0 .. limit - 1 */
  FILL_BAD    /* the same, with one element out of range */
} Fill;

typedef struct Input {
  Fill fill;
  Sym limit;
} Input;

typedef struct Case { /* of one entry */
  Op op;
  DType d;
  Vec(Input) inputs;
  Vec(NativeBound) bounds; /* outputs; then inouts and cells if there are any */
  bool big;
  const char *place;
} Case;

typedef struct Matrix {
  Ctx *ctx;
  Program *p;
  Vec(Case) cases;
  /* the entry under construction */
  Entry e;
  Case c;
  Graph *g;
  SymTab *t;
} Matrix;

int m_shape(Matrix *, const char *text, Sym *shape);
Sym m_size(Matrix *, char);
void m_begin(Matrix *, Op, DType, const char *form, const char *dims); /* dims: letters that the entry has */
Id m_in(Matrix *, DType, const char *shape, Fill);
Id m_index(Matrix *, DType, const char *shape, Sym limit, Fill);
void m_out(Matrix *, Id, NativeBound);
void m_end(Matrix *);

/* matrix_ops.c: the entries of a group of ops; each adds a cell for every op and dtype that the table admits. */
void matrix_elementwise(Matrix *, DType);
void matrix_moves(Matrix *);
void matrix_indices(Matrix *);
void matrix_reductions(Matrix *);
void matrix_products(Matrix *);
void matrix_leaves(Matrix *);
void matrix_remove_tables(void); /* the files that matrix_leaves left */
void matrix_failures(Matrix *);
void matrix_edges(Matrix *);

void matrix_windows(Matrix *); /* matrix_windows.c */
#endif
