/* Private to the interpreter: memory that knows what may be read. Every element has a shadow: which buffer wrote it (so
 * that uninitialised, stale and overwritten elements are told apart) and who wrote and read it last (so that races are
 * found). Actors are numbered upwards and a barrier starts above all numbers given so far: two accesses race if they
 * have different actors of this epoch and one is a store.
 *
 * Each thread of a block is an actor and gets a new number at every barrier it takes part in, above all others, so that
 * (number - task) / 32 mod warps is its warp. What stands before the last barrier of the block, or before the last of
 * one's own warp in that warp, is over. This is what vector clocks would say: a barrier always has all threads of its
 * warp or block, and only one block runs at a time. */
#ifndef SINTER_LOOP_LOOP_MEM_H
#define SINTER_LOOP_LOOP_MEM_H
#include "loop.h"

typedef struct Storage {
  char *data;
  bool owned, private;              /* private: scratch of a task or thread, nobody else comes here */
  int unit;                         /* bytes of a shadow */
  int64_t n;                        /* units */
  uint32_t *own, *w, *r1, *r2, *al; /* writer's token (0: nobody); actors: last writer, last two readers; alias */
} Storage;

typedef struct Mem { /* a typed, shaped window on a storage */
  Storage *st;
  int64_t byte, count; /* count: elements with the layout's padding */
  DType dtype;
  int rank;
  int64_t dim[LOOP_RANK], stride[LOOP_RANK];
  Layout layout;
  int axis, width;       /* PANEL; SWIZZLE: width */
  bool roll;             /* the leading index counts on, modulo dim[0] */
  uint32_t token, alias; /* alias: launch << 8 | parameter + 1, if another name shares this memory; else 0 */
  int nlist;             /* of a list: its tensors */
  struct Mem *list;
} Mem;

typedef struct Accessor {           /* who looks, and what a fault says */
  uint32_t actor, epoch;            /* epoch: the first actor of it */
  uint32_t warps;                   /* of a block of threads, 0 otherwise: */
  uint32_t task, since, warp_since; /* its first number; the first after the last barrier of the block, of the warp */
  const char *name;
  char why[192];
} Accessor;

Storage *storage_new(Arena *, void *data, int64_t bytes, int unit); /* data NULL: its own; freed by storage_free */
void storage_free(Storage *);
void storage_forget(Storage *);          /* nothing is written; of shared memory, and nobody was here */
bool mem_count(const Mem *, int64_t *n); /* false if it is negative or does not fit */

/* Element offset of an index; false (a->why) if it is outside. */
bool mem_offset(const Mem *, const int64_t *index, int64_t *offset, Accessor *a);
/* Look at one element; false with a->why set. `soft`: a lane beyond the end under tail pad. */
bool mem_read(const Mem *, const int64_t *index, int64_t offset, bool soft, Accessor *);
bool mem_write(const Mem *, const int64_t *index, int64_t offset, bool soft, Accessor *);
static inline char *mem_at(const Mem *m, int64_t offset) {
  return m->st->data + m->byte + offset * (int64_t)dtype_size(m->dtype);
}
#endif
