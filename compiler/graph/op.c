#include "op.h"
#include <string.h>

#define COMM   OPF_COMM
#define ASSOC  OPF_ASSOC
#define UNIQUE OPF_UNIQUE
#define FAILS  OPF_FAILS
const OpInfo OP_INFO[OP_COUNT] = {
    {"NONE", "none", 0, CLASS_LEAF, 0, "-", "", "", "-", "-"},
#define OP(NAME, text, arity, cls, flags, dtypes, attrs, shape, vjp, eval, defined, llvm, cuda)                        \
  {#NAME, text, arity, CLASS_##cls, flags, dtypes, attrs, defined, llvm, cuda},
#include "ops.def"
#undef OP
};

DType dtype_parse(const char *name) {
  for (DType d = DT_NONE + 1; d < DT_COUNT; d++)
    if (!strcmp(dtype_name(d), name)) return d;
  return DT_NONE;
}

Op op_parse(const char *text) {
  for (Op o = OP_NONE + 1; o < OP_COUNT; o++)
    if (OP_INFO[o].cls != CLASS_LOOP && !strcmp(OP_INFO[o].text, text)) return o;
  return OP_NONE;
}

bool op_takes(Op o, DType d) {
  for (const char *s = OP_INFO[o].dtypes; *s; s++)
    if (*s == 'A' || ((*s == 'F' || *s == 'N') && dtype_is_float(d)) || ((*s == 'I' || *s == 'N') && dtype_is_int(d)) ||
        (*s == 'B' && d == DT_BOOL))
      return true;
  return false;
}

bool op_attr(Op o, int k, const char **name, int *len, char *kind) {
  const char *s = OP_INFO[o].attrs;
  for (; *s && k; k--) {
    s += strcspn(s, ",");
    s += *s == ',';
  }
  if (!*s) return false;
  *name = s;
  *len = (int)strcspn(s, ":");
  *kind = s[*len + 1];
  return true;
}

int op_attr_index(Op o, const char *name, size_t n) {
  const char *s;
  int len;
  char kind;
  for (int k = 0; op_attr(o, k, &s, &len, &kind); k++)
    if ((size_t)len == n && !memcmp(s, name, n)) return k;
  return -1;
}
