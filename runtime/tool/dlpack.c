/* Tensors lent and borrowed by DLPack 0.8. */
#include "sinter.h"
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(SinterDlTensor) == 48 && offsetof(SinterDlTensor, ndim) == 16 &&
                   offsetof(SinterDlTensor, code) == 20 && offsetof(SinterDlTensor, shape) == 24,
               "DLTensor");
_Static_assert(sizeof(SinterDlManaged) == 64 && offsetof(SinterDlManaged, deleter) == 56, "DLManagedTensor");

enum { CPU = 1 };
enum { INT, UINT, FLOAT, BFLOAT = 4, BOOL = 6 };

static const struct {
  uint8_t code, bits;
} TYPES[] = {
    [SINTER_F32] = {FLOAT, 32}, [SINTER_F64] = {FLOAT, 64}, [SINTER_F16] = {FLOAT, 16}, [SINTER_BF16] = {BFLOAT, 16},
    [SINTER_I8] = {INT, 8},     [SINTER_I16] = {INT, 16},   [SINTER_I32] = {INT, 32},   [SINTER_I64] = {INT, 64},
    [SINTER_U8] = {UINT, 8},    [SINTER_U16] = {UINT, 16},  [SINTER_U32] = {UINT, 32},  [SINTER_U64] = {UINT, 64},
    [SINTER_BOOL] = {BOOL, 8}};
enum { NTYPES = sizeof TYPES / sizeof *TYPES };

typedef struct Lent { /* one block: what the borrower sees first */
  SinterDlManaged managed;
  int64_t shape[SINTER_MAX_RANK], strides[SINTER_MAX_RANK];
  void (*release)(void *);
} Lent;

static void give_back(SinterDlManaged *m) {
  Lent *l = (Lent *)(void *)m;
  if (l->release) l->release(m->owner);
  free(l);
}

static bool refuse(char *why, const char *sentence) {
  snprintf(why, SINTER_WHY, "%s", sentence);
  return false;
}

SinterDlManaged *sinter_dlpack_lend(const NpyArray *a, void (*release)(void *owner), void *owner, char *why) {
  if (a->rank > SINTER_MAX_RANK || !a->dtype || a->dtype >= NTYPES)
    return refuse(why, "this array has no element type or more than 8 axes"), NULL;
  Lent *l = calloc(1, sizeof *l);
  if (!l) return refuse(why, "no memory to lend a tensor"), NULL;
  int64_t stride = 1;
  for (uint32_t i = a->rank; i-- > 0; stride *= a->dim[i] > 1 ? a->dim[i] : 1)
    l->shape[i] = a->dim[i], l->strides[i] = stride;
  l->managed = (SinterDlManaged){.tensor = {.data = a->data,
                                            .device_type = CPU,
                                            .ndim = (int32_t)a->rank,
                                            .code = TYPES[a->dtype].code,
                                            .bits = TYPES[a->dtype].bits,
                                            .lanes = 1,
                                            .shape = l->shape,
                                            .strides = l->strides},
                                 .owner = owner,
                                 .deleter = give_back};
  l->release = release;
  return &l->managed;
}

/* The type; 0: there is none such. */
static uint32_t type_of(const SinterDlTensor *t) {
  for (uint32_t d = 1; d < NTYPES; d++)
    if (t->lanes == 1 && TYPES[d].code == t->code && TYPES[d].bits == t->bits) return d;
  return 0;
}

bool sinter_dlpack_borrow(NpyArray *a, const SinterDlManaged *m, char *why) {
  const SinterDlTensor *t = &m->tensor;
  *a = (NpyArray){.dtype = type_of(t), .count = 1};
  if (t->device_type != CPU) {
    snprintf(why, SINTER_WHY, "the tensor is on device type %" PRId32 ": one in the memory of the CPU (1) is expected",
             t->device_type);
    return false;
  }
  if (!a->dtype) {
    snprintf(why, SINTER_WHY, "the tensor's element type (code %u, %u bits, %u lanes) is not known: %s", t->code,
             t->bits, t->lanes, "floats, integers and bool of up to 64 bits, one to an element, are");
    return false;
  }
  if (t->ndim < 0 || t->ndim > SINTER_MAX_RANK) {
    snprintf(why, SINTER_WHY, "the tensor has %" PRId32 " axes: 0 to 8 are expected", t->ndim);
    return false;
  }
  if (t->ndim && !t->shape) return refuse(why, "the tensor has no shape");
  a->rank = (uint32_t)t->ndim;
  for (uint32_t i = 0; i < a->rank; i++)
    if ((a->dim[i] = t->shape[i]) < 0 || __builtin_mul_overflow(a->count, a->dim[i], &a->count) ||
        a->count > INT64_MAX / 8)
      return refuse(why, "the tensor's shape is negative or too large");
  int64_t stride = 1;
  for (uint32_t i = a->rank; t->strides && a->count && i-- > 0; stride *= a->dim[i])
    if (a->dim[i] > 1 && t->strides[i] != stride) {
      snprintf(why, SINTER_WHY,
               "the tensor's elements are %" PRId64 " apart along axis %u, where %" PRId64
               " was expected: make it contiguous first",
               t->strides[i], i, stride);
      return false;
    }
  a->data = t->data ? (char *)t->data + t->byte_offset : NULL;
  if (a->count && !t->data) return refuse(why, "the tensor has no data");
  if ((uintptr_t)a->data % sinter_dtype_size(a->dtype)) {
    snprintf(why, SINTER_WHY, "the tensor's data are not aligned to %u bytes", sinter_dtype_size(a->dtype));
    return false;
  }
  return true;
}
