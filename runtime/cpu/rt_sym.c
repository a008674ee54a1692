#include "rt.h"

enum { STACK = 64 };

static bool apply(int64_t op, int64_t a, int64_t b, int64_t *r) {
  switch (op) {
  case SINTER_SYM_ADD: return !__builtin_add_overflow(a, b, r);
  case SINTER_SYM_MUL: return !__builtin_mul_overflow(a, b, r);
  case SINTER_SYM_FLOORDIV:
    if (b == 0 || (a == INT64_MIN && b == -1)) return false;
    *r = a / b - (a % b != 0 && (a < 0) != (b < 0));
    return true;
  case SINTER_SYM_MOD:
    if (b == 0) return false;
    *r = b == -1 ? 0 : a % b;
    if (*r != 0 && (*r < 0) != (b < 0)) *r += b;
    return true;
  case SINTER_SYM_MIN: return *r = a < b ? a : b, true;
  case SINTER_SYM_MAX: return *r = a > b ? a : b, true;
  case SINTER_SYM_LT: return *r = a < b, true;
  case SINTER_SYM_LE: return *r = a <= b, true;
  case SINTER_SYM_EQ: return *r = a == b, true;
  case SINTER_SYM_NE: return *r = a != b, true;
  }
  return false;
}

bool rt_sym(const SinterModel *model, SinterSym s, const int64_t *dims, int64_t *out) {
  if (s.n == 0) return *out = s.at, true;
  const SinterCode *code = (const SinterCode *)(const void *)((const char *)model + s.at);
  int64_t stack[STACK];
  int n = 0;
  for (uint32_t i = 0; i < s.n; i++) {
    int64_t op = code[i].op;
    if (op <= SINTER_SYM_VAR) {
      if (n == STACK) return false;
      stack[n++] = op == SINTER_SYM_INT ? code[i].operand : dims[code[i].operand];
    } else {
      if (n < 2 || !apply(op, stack[n - 2], stack[n - 1], &stack[n - 2])) return false;
      n--;
    }
  }
  return n == 1 ? (*out = stack[0], true) : false;
}
