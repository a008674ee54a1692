/* What compilers call without being asked, so that an artefact needs it from nobody. Left out of programs that have a C
 * library of their own linked in. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
double fmod(double x, double y);
float fmodf(float x, float y);

#if defined __x86_64__
void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  void *d = to;
  __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
  return to;
}

void *memset(void *to, int c, size_t n) {
  void *d = to;
  __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
  return to;
}
#else
typedef uint64_t __attribute__((may_alias, aligned(1))) Word;

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  char *d = to;
  const char *s = from;
  for (; n >= 8; n -= 8, d += 8, s += 8) *(Word *)d = *(const Word *)s;
  while (n--) *d++ = *s++;
  return to;
}

void *memset(void *to, int c, size_t n) {
  char *d = to;
  for (uint64_t v = 0x0101010101010101u * (unsigned char)c; n >= 8; n -= 8, d += 8) *(Word *)d = v;
  while (n--) *d++ = (char)c;
  return to;
}
#endif

void *memmove(void *to, const void *from, size_t n) {
  char *d = to;
  const char *s = from;
  if ((uintptr_t)d - (uintptr_t)s >= n) return memcpy(to, from, n);
  while (n--) d[n] = s[n];
  return to;
}

int memcmp(const void *a, const void *b, size_t n) {
  for (const unsigned char *p = a, *q = b; n--; p++, q++)
    if (*p != *q) return *p < *q ? -1 : 1;
  return 0;
}

/* Exact: long division of the mantissas, eleven bits a step. */
double fmod(double x, double y) {
  const uint64_t one = 1ull << 52, sign = 1ull << 63;
  union {
    double f;
    uint64_t i;
  } a = {x}, b = {y};
  uint64_t minus = a.i & sign, p = a.i & ~sign, q = b.i & ~sign;
  if (q == 0 || q > 0x7ffull << 52 || p >= 0x7ffull << 52) return (x * y) / (x * y); /* NaN */
  if (p < q) return x;
  uint64_t ep = p >> 52, eq = q >> 52, r = p & (one - 1), m = q & (one - 1);
  if (ep)
    r |= one;
  else
    ep = 1;
  if (eq)
    m |= one;
  else
    eq = 1;
  r %= m;
  for (uint64_t left = ep - eq; left && r;) {
    uint64_t step = left < 11 ? left : 11;
    r = (r << step) % m;
    left -= step;
  }
  while (r && r < one && eq > 1) r <<= 1, eq--;
  a.i = minus | (r < one ? r : (eq << 52) + (r - one));
  return a.f;
}

float fmodf(float x, float y) { return (float)fmod(x, y); } /* the remainder of two floats is a float */
