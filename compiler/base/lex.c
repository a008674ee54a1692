#include "lex.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Lex {
  Arena *arena;
  StrTab *names;
  const char *text, *ops;
  size_t n, at;
} Lex;

static bool name_start(char c) { return c == '_' || isalpha((unsigned char)c); }
static bool name_part(char c) { return c == '_' || isalnum((unsigned char)c); }
static char peek(const Lex *x, size_t k) { return x->at + k < x->n ? x->text[x->at + k] : 0; }

static size_t operator_length(const Lex *x) {
  size_t best = 0;
  for (const char *o = x->ops; *o;) {
    while (*o == ' ') o++;
    size_t n = strcspn(o, " ");
    if (n > best && n <= x->n - x->at && !memcmp(o, x->text + x->at, n)) best = n;
    o += n;
  }
  return best;
}

static void bad(Token *t, const char *why) {
  t->kind = TOK_BAD;
  t->u.why = why;
}

/* Takes digits and underscores; an underscore stands between two digits. */
static size_t digits(const Lex *x, size_t k, bool hex) {
  while (hex ? isxdigit((unsigned char)peek(x, k)) : isdigit((unsigned char)peek(x, k))) {
    k++;
    if (peek(x, k) == '_' && isalnum((unsigned char)peek(x, k + 1))) k++;
  }
  return k;
}

static void number(Lex *x, Token *t) {
  bool hex = peek(x, 0) == '0' && (peek(x, 1) == 'x' || peek(x, 1) == 'X'), real = false;
  size_t k = digits(x, hex ? 2 : 0, hex);
  if (!hex && peek(x, k) == '.' && isdigit((unsigned char)peek(x, k + 1))) {
    real = true;
    k = digits(x, k + 1, false);
  }
  if (!hex && (peek(x, k) == 'e' || peek(x, k) == 'E')) {
    size_t e = k + 1 + (peek(x, k + 1) == '+' || peek(x, k + 1) == '-');
    if (isdigit((unsigned char)peek(x, e))) {
      real = true;
      k = digits(x, e, false);
    }
  }
  bool junk = false;
  while (name_part(peek(x, k))) k++, junk = true;
  t->n = (uint32_t)k;
  if (junk || (hex && k == 2)) {
    bad(t, "this is not a number");
    return;
  }
  char *s = arena_alloc(x->arena, k + 1), *d = s;
  for (size_t i = 0; i < k; i++)
    if (x->text[x->at + i] != '_') *d++ = x->text[x->at + i];
  errno = 0;
  if (real) {
    t->kind = TOK_FLOAT;
    t->u.f = strtod(s, NULL);
  } else {
    t->kind = TOK_INT;
    t->u.i = strtoull(hex ? s + 2 : s, NULL, hex ? 16 : 10);
    if (errno == ERANGE) bad(t, "this integer does not fit in 64 bits");
  }
}

static void string(Lex *x, Token *t) {
  size_t k = 1;
  while (x->at + k < x->n && peek(x, k) != '"' && peek(x, k) != '\n')
    k += peek(x, k) == '\\' && peek(x, k + 1) != '\n' ? 2 : 1;
  if (x->at + k > x->n) k = x->n - x->at;
  if (peek(x, k) != '"') {
    bad(t, "this string is not closed on its line");
    t->n = (uint32_t)k;
    return;
  }
  t->kind = TOK_STRING;
  t->n = (uint32_t)k + 1;
}

Tokens lex(Arena *a, StrTab *names, Loc base, const char *text, size_t n, const char *ops) {
  Lex x = {a, names, text, ops, n, 0};
  Tokens out = {0};
  bool space = false;
  while (x.at < n) {
    char c = text[x.at];
    if (c == ' ' || c == '\t' || c == '\r') {
      x.at++;
      space = true;
      continue;
    }
    Token t = {.at = (uint32_t)x.at, .n = 1, .loc = base + (Loc)x.at, .space = space};
    space = false;
    if (c == '\n') {
      t.kind = TOK_NL;
    } else if (c == '#') {
      t.kind = TOK_COMMENT;
      while (x.at + t.n < n && text[x.at + t.n] != '\n') t.n++;
    } else if (name_start(c)) {
      t.kind = TOK_NAME;
      while (x.at + t.n < n && name_part(text[x.at + t.n])) t.n++;
      t.text = str_intern_n(names, text + x.at, t.n);
    } else if (isdigit((unsigned char)c)) {
      number(&x, &t);
    } else if (c == '"') {
      string(&x, &t);
    } else if ((t.n = (uint32_t)operator_length(&x))) {
      t.kind = TOK_OP;
      t.text = str_intern_n(names, text + x.at, t.n);
    } else {
      t.n = 1;
      bad(&t, (unsigned char)c >= 0x80 ? "names are ASCII: this character may stand only in strings and comments"
                                       : "this character has no meaning here");
    }
    x.at += t.n;
    vec_push(a, &out, t);
  }
  vec_push(a, &out, (Token){.kind = TOK_END, .at = (uint32_t)n, .loc = base + (Loc)n});
  return out;
}

char *lex_string(Arena *a, const char *text, const Token *t, size_t *bad_at) {
  const char *s = text + t->at + 1;
  size_t n = t->n - 2;
  char *out = arena_alloc(a, n + 1), *d = out;
  for (size_t i = 0; i < n; i++) {
    if (s[i] != '\\') {
      *d++ = s[i];
      continue;
    }
    const char *from = "nt\"\\", *to = "\n\t\"\\", *f = i + 1 < n ? strchr(from, s[i + 1]) : NULL;
    if (!f || !*f) {
      *bad_at = i + 1;
      return NULL;
    }
    *d++ = to[f - from];
    i++;
  }
  return out;
}
