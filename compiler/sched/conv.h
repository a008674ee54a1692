/* A convolution with its groups, tile and place; shared by the strategies for processors and for a GPU. */
#ifndef SINTER_SCHED_CONV_H
#define SINTER_SCHED_CONV_H
#include "nest.h"

typedef enum { ALONG_CHANNELS, ALONG_ROW, ALONG_WINDOW } Along;

typedef struct Conv {
  Lower *l;
  Id v, x, kernel;
  Windows w;
  DType dtype, packs; /* in which the products are summed, and the kernel packed */
  bool reverse;
  int64_t groups, batches; /* of the channels, of the first axis of the operand: one of them is 1 */
  Sym per;                 /* results of a group */
  Along along;
  int lanes, mr, nv; /* tile: pixels by vectors of channels; channels by vectors of the row, or by results of the row */
  int rows;          /* of pixels in a tile: more than one where they are short and whole */
  bool masked;       /* places beside the operand are masked where it is loaded */
  bool clipped;      /* windows are cut to what lies in the operand */
  bool padded, rest; /* the operand is copied; the channels of a group do not divide into tiles */
  uint32_t copy, panels;         /* buffers */
  Ex group, batch, row, channel; /* batch, group: of the result; row, channel: where those begin in the operand */
  Ex first, end;                 /* channels of the tile begin here, those of the group end here */
  Ex p[MAX_RANK], e[MAX_RANK];   /* place in the result, in the window; one for each axis of space */
  Ex i;                          /* input channel within the group */
} Conv;

void conv_group(Conv *); /* row and channel from group and batch */
/* Where in the operand the place of p and e is; `more` is added to the last axis of p, `later` to the channel. Of axis
 * a inside[a] has to hold for it to be there, if it is not 0. */
void conv_operand_index(Conv *, Ex more, int later, Ex *at, Ex *inside);
Ex conv_weight(Conv *, Ex o); /* of the kernel: of channel `o` of all, which may be beyond the group's last */
Ex conv_product(const Conv *, Ex a, Ex b, Ex sum);
void conv_threads(Conv *, Sym products); /* conv_threads.c: for a GPU */
#endif
