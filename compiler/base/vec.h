/* Growable arrays in an arena: `Vec(int) v = {0}; vec_push(arena, &v, 3); v.at[0]; v.n`. Growing abandons the old block
 * to the arena, so a pointer into `at` is good only until the next push. */
#ifndef SINTER_BASE_VEC_H
#define SINTER_BASE_VEC_H
#include "arena.h"

#define Vec(T)                                                                                                         \
  struct {                                                                                                             \
    T *at;                                                                                                             \
    uint32_t n, cap;                                                                                                   \
  }

void *vec_grow_(Arena *, void *at, uint32_t n, uint32_t *cap, uint32_t want, size_t size);

#define vec_reserve(a, v, more)                                                                                        \
  ((v)->n + (more) > (v)->cap                                                                                          \
       ? (void)((v)->at = vec_grow_((a), (v)->at, (v)->n, &(v)->cap, (v)->n + (more), sizeof *(v)->at))                \
       : (void)0)
#define vec_push(a, v, ...) (vec_reserve((a), (v), 1), (v)->at[(v)->n++] = (__VA_ARGS__))
#define vec_pop(v)          ((v)->at[--(v)->n])
#define vec_last(v)         ((v)->at[(v)->n - 1])
#endif
