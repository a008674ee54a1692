#include "philox.h"

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)b;
    c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

static void block(const Draw *d, uint64_t index, uint32_t out[4]) {
  const uint32_t counter[4] = {(uint32_t)index, d->place, d->iteration, d->call};
  const uint32_t key[2] = {(uint32_t)d->seed, (uint32_t)(d->seed >> 32)};
  philox4x32(counter, key, out);
}

uint32_t philox_word(const Draw *d, uint64_t e) {
  uint32_t w[4];
  block(d, e / 4, w);
  return w[e % 4];
}

double philox_uniform(const Draw *d, DType t, uint64_t e) {
  if (t != DT_F64) return (philox_word(d, e) >> 8) * 0x1p-24;
  uint32_t w[4];
  block(d, e / 2, w);
  const uint32_t *p = w + 2 * (e % 2);
  return ((p[0] >> 5) * 0x1p26 + (p[1] >> 6)) * 0x1p-53;
}

int32_t philox_bits(const Draw *d, uint64_t e) { return (int32_t)(philox_word(d, e) >> 1); }
