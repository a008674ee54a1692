/* Shared memory by 32-bit addresses; 16-bit floats. */
#include "emu.h"

u32 emu_shared_address(const void *p, const EmuSite *site) {
  const u8 *q = p, *base = emu_place->shared;
  if (q < base || q > base + emu_thread()->block->launch->request->shared_bytes)
    emu_fail(site, "shared_address of %p, which is not in shared memory", p);
  return EMU_SHARED_BASE + (u32)(q - base);
}

void *emu_shared(u32 address, int bytes, const EmuSite *site) {
  size_t size = emu_thread()->block->launch->request->shared_bytes;
  if (address < EMU_SHARED_BASE || (size_t)address - EMU_SHARED_BASE + (size_t)bytes > size)
    emu_fail(site, "out of bounds: %d bytes at offset %lld of %zu bytes of shared memory", bytes,
             (long long)address - EMU_SHARED_BASE, size);
  if (bytes <= 16 && address % (u32)bytes) emu_fail(site, "shared address %u is no multiple of %d", address, bytes);
  return emu_place->shared + (address - EMU_SHARED_BASE);
}

void *emu_aligned(const void *p, int bytes, const EmuSite *site) {
  if ((uintptr_t)p % (uintptr_t)bytes) emu_fail(site, "address %p is no multiple of %d", p, bytes);
  return (void *)p;
}

float emu_f16_to_f32(u16 h) {
  u32 sign = (u32)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) return (float)mantissa * 0x1p-24f * (sign ? -1 : 1);
  return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

u16 emu_f32_to_f16(float x) {
  u32 u = __float_as_uint(x), sign = u >> 16 & 0x8000;
  u &= 0x7fffffff;
  if (u > 0x7f800000) return 0x7fff;
  if (u >= 0x477ff000) return (u16)(sign | 0x7c00); /* rounds beyond 65504 */
  if (u < 0x38800000) {                             /* subnormal: the sum with 0.5 rounds to 24 bits after the point */
    float y = __uint_as_float(u) + 0.5f;
    return (u16)(sign | (__float_as_uint(y) - 0x3f000000u));
  }
  return (u16)(sign | ((u + 0xfff + (u >> 13 & 1) - 0x38000000u) >> 13));
}

float emu_element(EmuType type, const u8 *p) {
  u16 h;
  u32 u;
  if (type == EMU_TF32) {
    memcpy(&u, p, 4);
    return __uint_as_float(u & 0xffffe000u);
  }
  memcpy(&h, p, 2);
  return type == EMU_BF16 ? __uint_as_float((u32)h << 16) : emu_f16_to_f32(h);
}
