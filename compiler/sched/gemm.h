/* The axes of a product and the panels of its right-hand side; shared by the strategies that hold products. */
#ifndef SINTER_SCHED_GEMM_H
#define SINTER_SCHED_GEMM_H
#include "lower.h"

typedef struct Gemm {
  Lower *l;
  Id v, x, y;
  DType dtype, packs;   /* in which the product is summed, and the right-hand side packed */
  int nb, nc, nfx, nfy; /* batch, contracted, free axes */
  int bx[MAX_RANK], by[MAX_RANK], cx[MAX_RANK], cy[MAX_RANK], fx[MAX_RANK], fy[MAX_RANK];
  int mr, nv, lanes, rows; /* rows: of a task */
  int along;               /* of a column alone: lanes along the contracted axis, 0: none */
  bool packed;
  uint32_t panel;                                 /* buffer of the panels */
  Sym m, n;                                       /* last free axis of each side; 1 where there is none */
  Ex batch[MAX_RANK], xs[MAX_RANK], ys[MAX_RANK]; /* values of the stage's axes */
  Ex k[MAX_RANK];
} Gemm;

Gemm gemm_of(Lower *, Id product); /* its axes; the tile is not chosen */
/* The index of an operand from batch, free and contracted positions; `row`: of the last free axis. */
void gemm_operand_index(const Gemm *, bool right, Ex row, Ex *index);
void gemm_output_index(const Gemm *, Ex row, Ex column, Ex *index); /* of the result, likewise */
void gemm_open_sum(Gemm *);                                         /* the loops over the contracted axes */
Sym gemm_column(
    const Gemm *); /* products of a row of the last free axis on the left: as many as elements on the right */
int gemm_panel_index(const Gemm *, Ex column, Ex *index); /* of an element of the panels; returns the rank */
/* A stage that packs the right-hand side into g->panel: panels of nv * lanes columns, zeros beyond the last one. */
void gemm_pack(Gemm *);
void gemm_threads(Gemm *); /* the whole kernel, for a GPU */
#endif
