/* Groups: what one kernel computes. Fusion (pass/fuse.c) partitions the nodes that do work; the rest (numbers, iota,
 * movement) is free and worked out anew wherever it is read. A group has an iteration space, its members sit in it at
 * full or row positions, and only its outputs are stored. The strategies (sched/) turn a group into Loop IR. */
#ifndef SINTER_GRAPH_GROUP_H
#define SINTER_GRAPH_GROUP_H
#include "graph.h"
#include "softmax.h"

/* The loop nest that a group becomes. */
typedef enum {
  GROUP_ELEM,   /* one value an element of the space, all members at full positions */
  GROUP_ROW,    /* rows of the space's last axis: reductions over it and what is made of them, whole row by whole row */
  GROUP_REDUCE, /* one reduction over other axes than just the last, with its prologue and epilogue */
  GROUP_GEMM, /* one dot_general with its epilogue; for a GPU also a sum of its rows or along them, and what is made of
                 that */
  GROUP_CONV, /* one conv_general with its epilogue */
  GROUP_ATTENTION, /* a product of scores with its epilogue, their softmax along the rows, the product with the values
                    */
  GROUP_ATTENTION_GRAD, /* what pass_attention_grad made a copy of for one or two products, the last nodes of it */
  GROUP_NEST /* one node by its plain loop nest: arg over other axes, scatter_add, dynamic_update, concat, windows */
} GroupKind;

enum { AXIS_ZERO = -1, AXIS_OTHER = -2 };
/* How a read moves with the reader: for each axis of what is read the reader's axis it follows, AXIS_ZERO (always 0) or
 * AXIS_OTHER (anything else: computed, offset, scaled). */
typedef struct Map {
  int8_t axis[MAX_RANK];
} Map;

typedef Vec(Id) Ids;

typedef struct Group {
  GroupKind kind;
  Ids members; /* in node order */
  Ids outputs; /* members that are stored, in node order */
  Id anchor;   /* the reduction, product (of attention: the last one) or nest node; 0 */
  int rank;
  Sym space[MAX_RANK];
  double cost; /* rough operations an element of the space, of the elementwise members */
} Group;

typedef struct FuseNote { /* for `sinter explain`: why a value goes through memory, or why two groups are one */
  Id producer, consumer;
  bool fused;
  bool sibling; /* neither feeds the other: both read the same */
  const char *why;
} FuseNote;

typedef struct Groups {
  const Graph *graph;
  Vec(Group) at;   /* in launch order */
  int *of;         /* node -> group, or -1: free (or a leaf) */
  Map *pos;        /* node -> where a member sits: for each of its axes the space's axis or AXIS_ZERO */
  uint8_t *stored; /* node -> its value lies in memory (leaves, outputs of groups) */
  Vec(FuseNote) notes;
} Groups;

static inline bool group_product(const Group *x) { return x->kind == GROUP_GEMM || x->kind == GROUP_CONV; }
static inline bool group_attends(const Group *x) {
  return x->kind == GROUP_ATTENTION || x->kind == GROUP_ATTENTION_GRAD;
}
const char *group_kind_name(GroupKind);
bool group_leaf(const Graph *, Id); /* inputs, cells, constants that are tables: they lie in memory from the start */
bool group_free(const Graph *, Id); /* worked out anew by each reader: movement, iota, numbers, dims, 16 bits as f32 */
bool group_move(Op);                /* it only says which element is read */
bool group_widens(const Graph *, Id); /* a 16-bit float as f32 */
/* A scatter_add whose indices but the last are its own places: each element gets its update or nothing, so that it is
 * worked out like an element-wise node (the gradient of picking one element a row). */
bool group_one_hot(const Graph *, Id);

/* pass/attention.c: whether `product` is softmax(scores) @ values, rows by keys, keys by columns. */
bool group_attention(const Graph *, Id product, Softmax *);
/* Whether `product` can be that of the scores of an attention: one row of the left side by one of the right, keys last;
 * several keys, as far as is known. */
bool group_scores(const Graph *, Id product);
/* Whether its left side is batch and row axes in order and, contracted, the last one; the right side has one free axis.
 */
bool group_weighs(const Graph *, Id product);
double group_score_factor(const Graph *, Id score, Id product); /* score is product * factor, a number; 0: it is not */

/* Calls fn for every node that c reads through free nodes (members, leaves), with the map from the axes of c (of its
 * operand, for a reduction) to the axes of what is read. */
typedef void ReadVisit(void *ctx, Id read, const Map *);
void group_reads(const Graph *, Id c, ReadVisit *, void *ctx);

/* pass/attention_grad.c: the entry, after pass/half.c, with gradients of attention that work scores and weights out
 * anew instead of reading them from memory; nodes of such a copy are then one group. NULL after a diag_error. */
const Entry *pass_attention_grad(const Entry *);
/* Node.copy of these nodes, from this number on: programs cannot write such. */
#define GROUP_COPIES 0x80000000u
static inline bool group_copied(const Graph *g, Id v) { return graph_at(g, v)->copy >= GROUP_COPIES; }

/* pass/fuse.c: of what the outputs need; every output that is a member is stored. `tiles_sum`: a product's tiles may
 * sum its values. */
Groups *pass_fuse(const Graph *, const Id *outputs, int n, bool tiles_sum);
/* pass/fuse_text.c: what group `number` computes and stores, and the notes of what was tried with it; indented by two.
 */
void group_print(const Groups *, uint32_t number, Buf *);
#endif
