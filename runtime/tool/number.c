/* Numbers as text, exactly: a number is held as decimal digits, which are multiplied and divided by powers of two. An
 * f64 has at most 767 digits, so none is lost on the way to text; on the way back what is beyond the last digit counts
 * as a little more. */
#include "rt.h"
#include "text.h"

enum { DIGITS = 800, SHIFT = 59 /* bits at once: 10 << SHIFT is still a 64-bit number */ };

typedef struct Decimal { /* 0.d0 d1 d2 ... * 10^point */
  int n, point;
  bool more; /* digits that are not 0 follow */
  uint8_t digit[DIGITS];
} Decimal;

static void append(Decimal *d, unsigned digit) {
  if (d->n < DIGITS)
    d->digit[d->n++] = (uint8_t)digit;
  else
    d->more |= digit != 0;
}

static void trim(Decimal *d) { /* no zeros at either end */
  int zeros = 0;
  while (d->n && !d->digit[d->n - 1]) d->n--;
  while (zeros < d->n && !d->digit[zeros]) zeros++;
  for (int i = zeros; zeros && i < d->n; i++) d->digit[i - zeros] = d->digit[i];
  d->n -= zeros;
  d->point = d->n ? d->point - zeros : 0;
}

static void divide(Decimal *d, int bits) {
  uint64_t rest = 0, mask = (1ull << bits) - 1;
  int old = d->n;
  Decimal r = {.point = d->point, .more = d->more};
  for (int i = 0; i < old || rest; i++) {
    rest = 10 * rest + (i < old ? d->digit[i] : 0);
    append(&r, (unsigned)(rest >> bits));
    rest &= mask;
    if (i > old && r.n == DIGITS) r.more |= rest != 0, rest = 0;
  }
  *d = r;
  trim(d);
}

static void multiply(Decimal *d, int bits) {
  Decimal r = {.more = d->more};
  uint8_t carried[24];
  uint64_t carry = 0;
  int n = 0;
  for (int i = d->n; i-- > 0; carry /= 10) {
    carry += (uint64_t)d->digit[i] << bits;
    d->digit[i] = (uint8_t)(carry % 10);
  }
  for (; carry; carry /= 10) carried[n++] = (uint8_t)(carry % 10);
  r.point = d->point + n;
  while (n) append(&r, carried[--n]);
  for (int i = 0; i < d->n; i++) append(&r, d->digit[i]);
  *d = r;
  trim(d);
}

static void scale(Decimal *d, int bits) { /* by 2^bits */
  for (int k; bits > 0; bits -= k) multiply(d, k = bits < SHIFT ? bits : SHIFT);
  for (int k; bits < 0; bits += k) divide(d, k = -bits < SHIFT ? -bits : SHIFT);
}

/* Whether rounding to `n` digits, ties to even, goes up. */
static bool rounds_up(const Decimal *d, int n) {
  if (n < 0 || n >= d->n) return false;
  if (d->digit[n] != 5 || n + 1 < d->n || d->more) return d->digit[n] >= 5;
  return n > 0 && d->digit[n - 1] & 1;
}

static uint64_t whole(const Decimal *d) { /* the nearest integer, below 2^63 */
  uint64_t v = 0;
  for (int i = 0; i < d->point; i++) v = 10 * v + (i < d->n ? d->digit[i] : 0);
  return v + rounds_up(d, d->point);
}

static double make(uint64_t bits) {
  union {
    uint64_t i;
    double f;
  } u = {bits};
  return u.f;
}

/* The nearest f64 without its sign; the Decimal is used up. */
static double to_double(Decimal *d) {
  enum { MANTISSA = 52, LEAST = -1022, MOST = 1023, BIAS = 1023 };
  if (d->n == 0 || d->point < -330) return 0;
  if (d->point > 310) return make(0x7ffull << MANTISSA);
  int exponent = 0; /* the number is what d holds times 2^exponent; d comes between 1 and 2 */
  while (d->point > 1 || (d->point == 1 && d->digit[0] >= 2)) {
    int k = d->point > 18 ? SHIFT : d->point > 1 ? 3 * (d->point - 1) : d->digit[0] < 4 ? 1 : d->digit[0] < 8 ? 2 : 3;
    scale(d, -k), exponent += k;
  }
  while (d->point < 1) {
    int k = d->point < -17 ? SHIFT : d->point < 0 ? -3 * d->point : d->digit[0] == 3 || d->digit[0] == 4 ? 2 : 1;
    scale(d, k), exponent -= k;
  }
  if (exponent < LEAST) scale(d, exponent - LEAST), exponent = LEAST; /* fewer bits: a denormal number */
  scale(d, MANTISSA);
  uint64_t m = whole(d);
  if (m >> (MANTISSA + 1)) m >>= 1, exponent++;
  if (exponent > MOST) return make(0x7ffull << MANTISSA);
  if (!(m >> MANTISSA)) return make(m);
  return make(((uint64_t)(exponent + BIAS) << MANTISSA) + (m - (1ull << MANTISSA)));
}

static bool same_word(const char *s, const char *word) {
  while (*word && (*s | 32) == *word) s++, word++;
  return !*s && !*word;
}

bool number_read(const char *s, double *out) {
  Decimal d = {0};
  bool minus = *s == '-', digits = false, point = false;
  int64_t exponent = 0;
  if (*s == '-' || *s == '+') s++;
  bool inf = same_word(s, "inf") || same_word(s, "infinity");
  if (inf || same_word(s, "nan")) {
    *out = make((minus ? 1ull << 63 : 0) | 0x7ffull << 52 | (inf ? 0 : 1ull << 51));
    return true;
  }
  int64_t before = 0; /* the point, counted from the first digit that is not 0 */
  for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
    if (*s == '.') {
      point = true;
      continue;
    }
    digits = true;
    if (d.n || *s != '0') {
      append(&d, (unsigned)(*s - '0'));
      before += !point;
    } else {
      before -= point;
    }
  }
  if (digits && (*s == 'e' || *s == 'E')) {
    bool down = *++s == '-';
    if (*s == '-' || *s == '+') s++;
    if (*s < '0' || *s > '9') return false;
    for (; *s >= '0' && *s <= '9'; s++)
      if (exponent < 100000000) exponent = 10 * exponent + (*s - '0');
    if (down) exponent = -exponent;
  }
  if (!digits || *s) return false;
  int64_t at = before + exponent;
  d.point = at > 100000 ? 100000 : at < -100000 ? -100000 : (int)at;
  trim(&d);
  double v = to_double(&d);
  *out = minus ? -v : v;
  return true;
}

bool number_read_int(const char *s, int64_t lo, int64_t hi, int64_t *out) {
  bool minus = *s == '-';
  int64_t v = 0;
  if (*s == '-' || *s == '+') s++;
  if (!*s) return false;
  for (; *s >= '0' && *s <= '9'; s++) {
    int64_t digit = minus ? '0' - *s : *s - '0';
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v)) return false;
  }
  if (*s || v < lo || v > hi) return false;
  *out = v;
  return true;
}

static void from_double(Decimal *d, uint64_t bits) {
  int exponent = (int)(bits >> 52 & 0x7ff);
  uint64_t m = (bits & ((1ull << 52) - 1)) | (exponent ? 1ull << 52 : 0);
  char text[24] = "";
  Text t = {.at = text, .cap = sizeof text, .fixed = true};
  text_printf(&t, "%llu", (unsigned long long)m);
  *d = (Decimal){.point = (int)t.n};
  for (size_t i = 0; i < t.n; i++) append(d, (unsigned)(text[i] - '0'));
  trim(d);
  scale(d, (exponent ? exponent : 1) - 1075);
}

static void round_to(Decimal *d, int n) {
  bool up = rounds_up(d, n);
  if (d->n > n) d->n = n;
  if (up) {
    while (d->n && d->digit[d->n - 1] == 9) d->n--;
    if (d->n)
      d->digit[d->n - 1]++;
    else
      d->digit[0] = 1, d->n = 1, d->point++;
  }
  trim(d);
}

char *number_text(char out[NUMBER_ROOM], double x, int digits) {
  union {
    double f;
    uint64_t i;
  } u = {x};
  bool minus = u.i >> 63;
  Text t = {.at = out, .cap = NUMBER_ROOM, .fixed = true};
  u.i &= ~(1ull << 63);
  if (u.i > 0x7ffull << 52) return text_put(&t, "nan"), out;
  if (minus) text_put(&t, "-");
  if (u.i == 0x7ffull << 52) return text_put(&t, "inf"), out;
  Decimal exact, d, again;
  from_double(&exact, u.i);
  for (int n = 1;; n++) {
    d = exact;
    round_to(&d, n);
    again = d;
    double y = to_double(&again);
    if (n == digits || (digits <= 9 ? (float)y == (float)u.f : y == u.f)) break;
  }
  int exponent = d.n ? d.point - 1 : 0; /* of scientific notation */
  if (d.n == 0) return text_put(&t, "0.0"), out;
  bool scientific = exponent < -4 || (exponent >= 9 && exponent >= d.n);
  int point = scientific ? 1 : d.point, least = scientific || exponent >= 9 ? point : point + 1;
  int shown = d.n > least ? d.n : least;
  if (point <= 0) text_put(&t, "0.");
  for (int i = point; i < 0; i++) text_put(&t, "0");
  for (int i = 0; i < shown; i++) {
    if (i == point && i > 0) text_put(&t, ".");
    text_printf(&t, "%c", '0' + (i < d.n ? d.digit[i] : 0));
  }
  if (scientific)
    text_printf(&t, "e%c%s%d", exponent < 0 ? '-' : '+', exponent > -10 && exponent < 10 ? "0" : "",
                exponent < 0 ? -exponent : exponent);
  return out;
}
