#include "sinter.h"
#include <stdio.h>
#include <string.h>

enum { ROOM = 256, DEPTH = 64, LOOSE = 1, SUM, PRODUCT, ATOM };

typedef struct Part {
  char text[ROOM];
  int binds; /* how tightly its outermost operator does */
} Part;

static void wrap(Part *p, int binds) {
  if (p->binds >= binds) return;
  char inner[ROOM];
  strcpy(inner, p->text);
  snprintf(p->text, ROOM, "(%.250s)", inner);
}

static void join(Part *a, Part *b, const char *operator, int binds) {
  char left[ROOM], right[ROOM];
  wrap(a, binds);
  wrap(b, binds == SUM ? binds : binds + 1);
  strcpy(left, a->text), strcpy(right, b->text);
  if (binds == SUM && right[0] == '-')
    snprintf(a->text, ROOM, "%.120s - %.120s", left, right + 1);
  else
    snprintf(a->text, ROOM, "%.120s %s %.120s", left, operator, right);
  a->binds = binds;
}

char *sinter_sym_text(const SinterModel *m, SinterSym s, char *out, size_t room) {
  if (s.n == 0) return snprintf(out, room, "%u", s.at), out;
  static const char *const operator[] = { "", "", "+", "*", "//", "%", "min", "max", "<", "<=", "==", "!=" };
  static const int binds[] = {ATOM, ATOM, SUM, PRODUCT, PRODUCT, PRODUCT, ATOM, ATOM, LOOSE, LOOSE, LOOSE, LOOSE};
  const SinterCode *code = sinter_at(m, s.at);
  Part stack[DEPTH];
  int n = 0;
  for (uint32_t i = 0; i < s.n && n < DEPTH; i++) {
    int op = (int)code[i].op;
    Part *p = &stack[n];
    if (op == SINTER_SYM_INT) {
      snprintf(p->text, ROOM, "%lld", (long long)code[i].operand);
      p->binds = code[i].operand < 0 ? SUM : ATOM;
      n++;
    } else if (op == SINTER_SYM_VAR) {
      snprintf(p->text, ROOM, "%.200s", sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[code[i].operand]));
      p->binds = ATOM;
      n++;
    } else if (op == SINTER_SYM_MIN || op == SINTER_SYM_MAX) {
      char left[ROOM], right[ROOM];
      strcpy(left, p[-2].text), strcpy(right, p[-1].text);
      snprintf(p[-2].text, ROOM, "%s(%.120s, %.120s)", operator[op], left, right);
      p[-2].binds = ATOM;
      n--;
    } else {
      join(&p[-2], &p[-1], operator[op], binds[op]);
      n--;
    }
  }
  return snprintf(out, room, "%s", stack[0].text), out;
}
