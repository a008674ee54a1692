/* Element types. Graph and Loop IR share them; f16 and bf16 are storage types: computed in f32, rounded from
 * f32 where a value is stored. The narrow and unsigned integers are refused above the Loop IR. */
#ifndef SINTER_GRAPH_DTYPE_H
#define SINTER_GRAPH_DTYPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define DTYPES(X)                                                                                                      \
  X(F32, "f32", 4, FLOAT) X(F64, "f64", 8, FLOAT) X(F16, "f16", 2, FLOAT) X(BF16, "bf16", 2, FLOAT)                    \
  X(I8, "i8", 1, INT) X(I16, "i16", 2, INT) X(I32, "i32", 4, INT) X(I64, "i64", 8, INT)                                \
  X(U8, "u8", 1, UINT) X(U16, "u16", 2, UINT) X(U32, "u32", 4, UINT) X(U64, "u64", 8, UINT)                            \
  X(BOOL, "bool", 1, BOOL) X(IDX, "idx", 8, INT) /* idx: indices and extents of the Loop IR only */
/* clang-format on */

typedef enum {
  DT_NONE, /**/
#define X(NAME, text, size, kind) DT_##NAME,
  DTYPES(X)
#undef X
      DT_COUNT
} DType;

static inline size_t dtype_size(DType d) {
  static const uint8_t size[] = {0,
#define X(NAME, text, size, kind) size,
                                 DTYPES(X)
#undef X
  };
  return size[d];
}

static inline const char *dtype_name(DType d) {
  static const char *const name[] = {"none",
#define X(NAME, text, size, kind) text,
                                     DTYPES(X)
#undef X
  };
  return name[d];
}

DType dtype_parse(const char *name); /* DT_NONE if there is no such type */
static inline bool dtype_is_float(DType d) { return d >= DT_F32 && d <= DT_BF16; }
static inline bool dtype_is_half(DType d) { return d == DT_F16 || d == DT_BF16; }
/* In which values of d are computed. */
static inline DType dtype_computed(DType d) { return dtype_is_half(d) ? DT_F32 : d; }
static inline bool dtype_is_int(DType d) { return (d >= DT_I8 && d <= DT_U64) || d == DT_IDX; }
static inline bool dtype_is_signed(DType d) { return (d >= DT_I8 && d <= DT_I64) || d == DT_IDX; }
/* The types that models may use today. */
static inline bool dtype_in_graph(DType d) { return dtype_is_float(d) || d == DT_I32 || d == DT_I64 || d == DT_BOOL; }
#endif
