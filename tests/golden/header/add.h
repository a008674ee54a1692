/* add: made by sinter 0.1.0 from add.sir. Do not edit; compile the model again.
 *
 * Link or load add.so beside it; nothing else is needed. Every function returns SINTER_OK or another status; the
 * message of the context (or of the weights, for open, save, get, set and to) then says what was wrong, in one
 * sentence, and nothing was changed. */
#ifndef ADD_H
#define ADD_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#ifndef SINTER_STATUS
#define SINTER_STATUS
enum sinter_status {
  SINTER_OK = 0,
  SINTER_ERROR_ARGUMENT = 1,
  SINTER_ERROR_SHAPE = 2,
  SINTER_ERROR_WORKSPACE = 3,
  SINTER_ERROR_MEMORY = 4,
  SINTER_ERROR_WEIGHTS = 5,
  SINTER_ERROR_IO = 6,
  SINTER_ERROR_CPU = 7,
  SINTER_ERROR_BUSY = 8,
  SINTER_ERROR_INDEX = 9,
  SINTER_ERROR_ARTEFACT = 10,
  SINTER_ERROR_GPU = 11,
  SINTER_ERROR_GPU_FAILED = 12
};
#endif

typedef struct add_weights add_weights; /* parameters and states; any number of contexts may read one */
typedef struct add_context add_context; /* workspace, error message, call numbers: one a thread */

/* The largest sizes a context is made for. */
typedef struct add_dims {
  int64_t N; /* 1 to 2147483647 */
} add_dims;

/* Opens weights: from a safetensors file, or (NULL) with start values drawn from the seed. A failed open still gives an
 * object, for its message alone; close it too. */
int add_open(add_weights **, const char *safetensors_or_null, uint64_t seed);
void add_close(add_weights *);
int add_save(add_weights *, const char *safetensors);
int add_get(add_weights *, const char *name, void *data, size_t bytes);
int add_set(add_weights *, const char *name, const void *data, size_t bytes);
/* Where calls run, in contexts made from now on: "cpu", or "cuda" or "cuda:N" if it was compiled for GPUs. */
int add_to(add_weights *, const char *device);
const char *add_open_message(const add_weights *);

/* Bytes that a context needs for sizes up to these; 0 if they are out of bounds. */
size_t add_workspace(const add_dims *max, int threads);
/* memory: at least that many bytes, aligned to 64, or NULL to have them allocated. */
int add_new(add_context **, add_weights *, const add_dims *max, void *memory_or_null, size_t bytes);
void add_free(add_context *);
const char *add_message(const add_context *);

/* The sum of two vectors. */
typedef struct add_add_in {
  const float *a; /* f32[N] */
  const float *b; /* f32[N] */
  int64_t N;      /* 1 to 2147483647 */
} add_add_in;
typedef struct add_add_out {
  float *out; /* f32[N] */
} add_add_out;
int add_add(add_context *, const add_add_in *, add_add_out *);

#ifdef __cplusplus
}
#endif
#endif
