/* How the threads of a GPU share what a stage has to do; used by the strategies where lower_gpu holds. */
#ifndef SINTER_SCHED_THREADS_H
#define SINTER_SCHED_THREADS_H
#include "lower.h"

enum { THREADS = 256 };     /* of a block, where nothing asks for another number */
enum { THREAD_KEEPS = 16 }; /* elements of a row that a thread holds in registers */

/* The axis and the threads of the stage just begun: one for each of so many things, numbered along the threads. Opens
 * an `if` where the last block may not be full. */
Ex threads_line(Lower *, Sym count);
/* One thread alone. */
void threads_one(Lower *);
/* The index in a shape of element number e. */
void threads_index(Lower *, Ex e, const Sym *shape, int rank, Ex *index);
/* One thread for each `lanes` elements along the last axis of a shape: index[rank - 1] is the first of them and *hi
 * where they end, the others are whole. */
void threads_space(Lower *, const Sym *shape, int rank, int lanes, Ex *index, Ex *hi);
/* Lanes that a thread may load and store at once along an axis of this size: all it has if that divides the size, which
 * then becomes a fact of the kernel. */
int threads_lanes(Lower *, Sym size);
/* Threads for so many things a block, 32 at least and `most` at most, whole warps. */
int threads_for(int64_t things, int most);

/* The threads that share a row (Lower.team): what they reduce, and code that only the first of them runs. */
void threads_loop(Lower *, const char *name, Ex lo, Ex hi,
                  Ex *var); /* each takes its turns of a loop; until loop_end */
Ex threads_reduce(Lower *, const char *name, Op op, Ex value);
void threads_first(Lower *); /* after all are here: until loop_end, which also ends what is opened for a row alone */
#endif
