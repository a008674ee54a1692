#include "rt.h"
#include "sinter.h"
#include "text.h"

enum { ROOM = 256, DEPTH = 64, LOOSE = 1, SUM, PRODUCT, ATOM };

typedef struct Part {
  char text[ROOM];
  int binds; /* how tightly its outermost operator does */
} Part;

static void wrap(Part *p, int binds) {
  if (p->binds >= binds) return;
  char inner[ROOM];
  memcpy(inner, p->text, ROOM);
  text_into(p->text, ROOM, "(%.250s)", inner);
}

static void join(Part *a, Part *b, const char *operator, int binds) {
  char left[ROOM], right[ROOM];
  wrap(a, binds);
  wrap(b, binds == SUM ? binds : binds + 1);
  memcpy(left, a->text, ROOM), memcpy(right, b->text, ROOM);
  if (binds == SUM && right[0] == '-')
    text_into(a->text, ROOM, "%.120s - %.120s", left, right + 1);
  else
    text_into(a->text, ROOM, "%.120s %s %.120s", left, operator, right);
  a->binds = binds;
}

char *sinter_sym_text(const SinterModel *m, SinterSym s, char *out, size_t room) {
  if (s.n == 0) return text_into(out, room, "%u", s.at), out;
  static const char *const operator[] = { "", "", "+", "*", "//", "%", "min", "max", "<", "<=", "==", "!=" };
  static const int binds[] = {ATOM, ATOM, SUM, PRODUCT, PRODUCT, PRODUCT, ATOM, ATOM, LOOSE, LOOSE, LOOSE, LOOSE};
  const SinterCode *code = sinter_at(m, s.at);
  Part stack[DEPTH];
  int n = 0;
  for (uint32_t i = 0; i < s.n && n < DEPTH; i++) {
    int op = (int)code[i].op;
    Part *p = &stack[n];
    if (op == SINTER_SYM_INT) {
      text_into(p->text, ROOM, "%lld", (long long)code[i].operand);
      p->binds = code[i].operand < 0 ? SUM : ATOM;
      n++;
    } else if (op == SINTER_SYM_VAR) {
      text_into(p->text, ROOM, "%.200s", sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[code[i].operand]));
      p->binds = ATOM;
      n++;
    } else if (op == SINTER_SYM_MIN || op == SINTER_SYM_MAX) {
      char left[ROOM], right[ROOM];
      memcpy(left, p[-2].text, ROOM), memcpy(right, p[-1].text, ROOM);
      text_into(p[-2].text, ROOM, "%s(%.120s, %.120s)", operator[op], left, right);
      p[-2].binds = ATOM;
      n--;
    } else {
      join(&p[-2], &p[-1], operator[op], binds[op]);
      n--;
    }
  }
  return text_into(out, room, "%s", stack[0].text), out;
}
