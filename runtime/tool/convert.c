#include "rt.h"
#include "sinter.h"
#include "text.h"

static double half(uint16_t h) {
  int e = h >> 10 & 31;
  uint32_t m = h & 1023u;
  union {
    uint32_t i;
    float f;
  } u = {e == 31 ? 0x7f800000u | m << 13 : (uint32_t)(e + 112) << 23 | m << 13};
  double v = e ? (double)u.f : m * 0x1p-24;
  return h & 0x8000 ? -v : v;
}

static float of_bits(uint32_t i) {
  union {
    uint32_t i;
    float f;
  } u = {i};
  return u.f;
}

/* The upper bits of a pattern, rounded to the nearest, ties to even. */
static uint32_t upper(uint32_t bits, int dropped) {
  return (bits + (1u << (dropped - 1)) - 1 + (bits >> dropped & 1)) >> dropped;
}

static uint16_t to_bf16(float f) {
  union {
    float f;
    uint32_t i;
  } u = {f};
  return (uint16_t)(f != f ? u.i >> 16 | 0x40 : upper(u.i, 16));
}

static uint16_t to_half(float f) {
  union {
    float f;
    uint32_t i;
  } u = {f};
  uint32_t sign = u.i >> 16 & 0x8000, size = u.i & 0x7FFFFFFF;
  if (f != f) return (uint16_t)(sign | 0x7E00);
  if (size >= 143u << 23) return (uint16_t)(sign | 0x7C00); /* 65536 and beyond */
  if (size < 113u << 23) {                                  /* below 2^-14: the sum has the last place of a denormal */
    u.f = of_bits(size) + 0.5f;
    return (uint16_t)(sign | (u.i - 0x3F000000));
  }
  return (uint16_t)(sign | upper(size - (112u << 23), 13));
}

typedef struct Value { /* one element: a float, or an integer of 65 bits */
  double f;
  int64_t i;
  bool beyond; /* a u64 above INT64_MAX, bits in i */
} Value;

static Value load(uint32_t dtype, const void *p, int64_t k) {
  switch (dtype) {
  case SINTER_F32: return (Value){.f = ((const float *)p)[k]};
  case SINTER_F64: return (Value){.f = ((const double *)p)[k]};
  case SINTER_F16: return (Value){.f = half(((const uint16_t *)p)[k])};
  case SINTER_BF16: return (Value){.f = of_bits((uint32_t)((const uint16_t *)p)[k] << 16)};
  case SINTER_I8: return (Value){.i = ((const int8_t *)p)[k]};
  case SINTER_I16: return (Value){.i = ((const int16_t *)p)[k]};
  case SINTER_I32: return (Value){.i = ((const int32_t *)p)[k]};
  case SINTER_I64: return (Value){.i = ((const int64_t *)p)[k]};
  case SINTER_U16: return (Value){.i = ((const uint16_t *)p)[k]};
  case SINTER_U32: return (Value){.i = ((const uint32_t *)p)[k]};
  case SINTER_U64: {
    uint64_t v = ((const uint64_t *)p)[k];
    return (Value){.i = (int64_t)v, .beyond = v > INT64_MAX};
  }
  default: return (Value){.i = ((const uint8_t *)p)[k]}; /* u8, bool */
  }
}

static bool is_float(uint32_t d) { return d >= SINTER_F32 && d <= SINTER_BF16; }

/* False: it does not fit. */
static bool store(uint32_t dtype, void *p, int64_t k, Value v, bool from_float) {
  int64_t i = v.i;
  switch (dtype) {
  case SINTER_F32: {
    float f = from_float ? (float)v.f : (float)i;
    ((float *)p)[k] = f;
    return from_float || (!v.beyond && i >= -(1 << 24) && i <= 1 << 24);
  }
  case SINTER_F64:
    ((double *)p)[k] = from_float ? v.f : (double)i;
    return from_float || (!v.beyond && i >= -(1ll << 53) && i <= 1ll << 53);
  case SINTER_F16:
    ((uint16_t *)p)[k] = to_half(from_float ? (float)v.f : (float)i);
    return from_float || (!v.beyond && i >= -(1 << 11) && i <= 1 << 11);
  case SINTER_BF16:
    ((uint16_t *)p)[k] = to_bf16(from_float ? (float)v.f : (float)i);
    return from_float || (!v.beyond && i >= -(1 << 8) && i <= 1 << 8);
#define INTEGER(NAME, T, LO, HI)                                                                                       \
  case SINTER_##NAME: ((T *)p)[k] = (T)i; return !v.beyond && i >= (LO) && i <= (HI);
    INTEGER(I8, int8_t, INT8_MIN, INT8_MAX)
    INTEGER(I16, int16_t, INT16_MIN, INT16_MAX)
    INTEGER(I32, int32_t, INT32_MIN, INT32_MAX)
    INTEGER(I64, int64_t, INT64_MIN, INT64_MAX)
    INTEGER(U8, uint8_t, 0, UINT8_MAX)
    INTEGER(U16, uint16_t, 0, UINT16_MAX)
    INTEGER(U32, uint32_t, 0, UINT32_MAX)
    INTEGER(BOOL, uint8_t, 0, 1)
#undef INTEGER
  case SINTER_U64: ((uint64_t *)p)[k] = (uint64_t)i; return v.beyond || i >= 0;
  }
  return false;
}

bool sinter_convert(uint32_t to_dtype, void *to, uint32_t from_dtype, const void *from, int64_t n, char *why) {
  uint32_t size = sinter_dtype_size(to_dtype);
  if (to_dtype == from_dtype && size) return memcpy(to, from, (size_t)n * size), true;
  bool floating = is_float(from_dtype);
  if (!size || !sinter_dtype_size(from_dtype) || (floating && !is_float(to_dtype))) {
    text_into(why, SINTER_WHY, "it holds %s, but %s is expected", sinter_dtype_text(from_dtype),
              sinter_dtype_text(to_dtype));
    return false;
  }
  for (int64_t k = 0; k < n; k++) {
    Value v = load(from_dtype, from, k);
    if (store(to_dtype, to, k, v, floating)) continue;
    text_into(why, SINTER_WHY, "its element %lld is %lld, which is no %s", (long long)k, (long long)v.i,
              sinter_dtype_text(to_dtype));
    return false;
  }
  return true;
}
