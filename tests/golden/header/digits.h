/* digits: made by sinter 0.1.0 from digits.sir. Do not edit; compile the model again.
 *
 * Link or load digits.so beside it; nothing else is needed. Every function returns SINTER_OK or another status; the
 * message of the context (or of the weights, for open, save, get, set and to) then says what was wrong, in one
 * sentence, and nothing was changed. */
#ifndef DIGITS_H
#define DIGITS_H
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

typedef struct digits_weights digits_weights; /* parameters and states; any number of contexts may read one */
typedef struct digits_context digits_context; /* workspace, error message, call numbers: one a thread */

/* The largest sizes a context is made for. */
typedef struct digits_dims {
  int64_t B; /* 1 to 256 */
} digits_dims;

/* Opens weights: from a safetensors file, or (NULL) with start values drawn from the seed. A failed open still gives an
 * object, for its message alone; close it too. */
int digits_open(digits_weights **, const char *safetensors_or_null, uint64_t seed);
void digits_close(digits_weights *);
int digits_save(digits_weights *, const char *safetensors);
int digits_get(digits_weights *, const char *name, void *data, size_t bytes);
int digits_set(digits_weights *, const char *name, const void *data, size_t bytes);
/* Where calls run, in contexts made from now on: "cpu", or "cuda" or "cuda:N" if it was compiled for GPUs. */
int digits_to(digits_weights *, const char *device);
const char *digits_open_message(const digits_weights *);

/* Bytes that a context needs for sizes up to these; 0 if they are out of bounds. */
size_t digits_workspace(const digits_dims *max, int threads);
/* memory: at least that many bytes, aligned to 64, or NULL to have them allocated. */
int digits_new(digits_context **, digits_weights *, const digits_dims *max, void *memory_or_null, size_t bytes);
void digits_free(digits_context *);
const char *digits_message(const digits_context *);

/* One step of training on a batch. */
typedef struct digits_step_in {
  const float *x;   /* f32[B, 64]: Pixels, 0 to 16, row by row. */
  const int64_t *y; /* i64[B]: The digits, 0 to 9. */
  int64_t B;        /* 1 to 256 */
} digits_step_in;
typedef struct digits_step_out {
  float *loss;     /* f32[] */
  float *accuracy; /* f32[] */
} digits_step_out;
int digits_step(digits_context *, const digits_step_in *, digits_step_out *);

/* Loss and accuracy, nothing is changed. */
typedef struct digits_evaluate_in {
  const float *x;   /* f32[B, 64] */
  const int64_t *y; /* i64[B] */
  int64_t B;        /* 1 to 256 */
} digits_evaluate_in;
typedef struct digits_evaluate_out {
  float *loss;     /* f32[] */
  float *accuracy; /* f32[] */
} digits_evaluate_out;
int digits_evaluate(digits_context *, const digits_evaluate_in *, digits_evaluate_out *);

typedef struct digits_predict_in {
  const float *x; /* f32[B, 64] */
  int64_t B;      /* 1 to 256 */
} digits_predict_in;
typedef struct digits_predict_out {
  float *probability; /* f32[B, 10]: Of each digit. */
  int64_t *label;     /* i64[B]: The most probable digit. */
} digits_predict_out;
int digits_predict(digits_context *, const digits_predict_in *, digits_predict_out *);

#ifdef __cplusplus
}
#endif
#endif
