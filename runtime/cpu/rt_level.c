#include "rt.h"

static const char NAMES[SINTER_LEVELS][4] = {"v2", "v3", "v4", "a64"};
const char *rt_level_name(uint32_t level) { return level < SINTER_LEVELS ? NAMES[level] : "?"; }

#if defined __x86_64__
static void cpuid(uint32_t leaf, uint32_t r[4]) {
  __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* Bits SINTER_LEVEL_* that this processor and system can run: x86-64-v2, v3, v4 as the psABI defines them. */
static uint32_t supported(void) {
  enum { A, B, C, D };
  uint32_t top[4], one[4], seven[4] = {0}, ext[4] = {0};
  cpuid(0, top);
  cpuid(1, one);
  if (top[A] >= 7) cpuid(7, seven);
  cpuid(0x80000000u, top);
  if (top[A] >= 0x80000001u) cpuid(0x80000001u, ext);
  const uint32_t v2 =
      1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;        /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT */
  if ((one[C] & v2) != v2 || !(ext[C] & 1)) return 0;                       /* LAHF */
  const uint32_t v3 = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA MOVBE OSXSAVE AVX F16C */
  const uint32_t v3b = 1u << 3 | 1u << 5 | 1u << 8;                         /* BMI1 AVX2 BMI2 */
  if ((one[C] & v3) != v3 || (seven[B] & v3b) != v3b || !(ext[C] >> 5 & 1)) return 1; /* LZCNT */
  uint32_t saved, high;
  __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  if ((saved & 0x6) != 0x6) return 1;                                       /* the system keeps ymm */
  const uint32_t v4 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* AVX512 F DQ CD BW VL */
  if ((seven[B] & v4) != v4 || (saved & 0xe0) != 0xe0) return 1 | 1 << SINTER_LEVEL_V3;
  return 1 | 1 << SINTER_LEVEL_V3 | 1 << SINTER_LEVEL_V4;
}

uint64_t rt_float_mode(void) {
  uint32_t was = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(0x1f80);
  return was;
}
void rt_float_mode_back(uint64_t was) { __builtin_ia32_ldmxcsr((uint32_t)was); }
#elif defined __aarch64__
static uint32_t supported(void) { return 1u << SINTER_LEVEL_A64; }

uint64_t rt_float_mode(void) {
  uint64_t was;
  __asm__ volatile("mrs %0, fpcr" : "=r"(was));
  __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
  return was;
}
void rt_float_mode_back(uint64_t was) { __asm__ volatile("msr fpcr, %0" : : "r"(was)); }
#endif

static void append_levels(char *message, uint32_t levels) {
  const char *comma = "";
  for (uint32_t i = 0; i < SINTER_LEVELS; i++)
    if (levels >> i & 1) rt_append(message, "%s%s", comma, NAMES[i]), comma = ", ";
  if (!*comma) rt_append(message, "none");
}

int rt_level(char *message) {
  uint32_t cpu = supported(), code = RT_MODEL->levels;
  const char *want = sys_env("SINTER_CPU");
  int level = -1;
  for (int i = 0; i < SINTER_LEVELS; i++)
    if (want ? rt_equal(want, NAMES[i]) : cpu & code & 1u << i) level = i;
  if (level < 0 && want) {
    rt_fail(message, 0, "SINTER_CPU is \"%s\", which is no level: v2, v3, v4 or a64 is expected", want);
  } else if (level < 0 || !(code >> level & 1)) {
    rt_fail(message, 0, "%s has no code for %s: it was compiled for ", RT_TEXT(RT_MODEL->name),
            want ? want : "this processor");
    append_levels(message, code);
    if (!want) rt_append(message, ", this processor runs "), append_levels(message, cpu);
    level = -1;
  } else if (!(cpu >> level & 1)) {
    rt_fail(message, 0, "SINTER_CPU asks for %s, which this processor does not have: it runs ", want);
    append_levels(message, cpu);
    level = -1;
  }
  return level;
}
