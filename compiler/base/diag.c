#include "diag.h"
#include "vec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOREIGN 0x80000000u

typedef struct Source {
  const char *path, *text;
  size_t n;
  Loc base;
} Source;

typedef struct Foreign {
  const char *path;
  int line, col;
} Foreign;

typedef enum { MSG_ERROR, MSG_WARNING, MSG_NOTE } MsgKind;
typedef struct Message {
  MsgKind kind;
  const char *id, *text;
  Loc loc;
} Message;

struct Diag {
  Arena *arena;
  Vec(Source) source;
  Vec(Foreign) foreign;
  Vec(Message) message;
  int errors;
  Loc next;
};

Diag *diag_new(Arena *a) {
  Diag *d = ARENA_NEW(a, Diag);
  d->arena = a;
  d->next = 1;
  return d;
}

Loc diag_source(Diag *d, const char *path, const char *text, size_t n) {
  Source s = {arena_strndup(d->arena, path, strlen(path)), text, n, d->next};
  vec_push(d->arena, &d->source, s);
  d->next += (Loc)n + 1;
  return s.base;
}

Loc diag_foreign(Diag *d, const char *path, int line, int col) {
  for (uint32_t i = 0; i < d->foreign.n; i++) {
    Foreign *f = &d->foreign.at[i];
    if (f->line == line && f->col == col && !strcmp(f->path, path)) return FOREIGN | i;
  }
  vec_push(d->arena, &d->foreign, (Foreign){arena_strndup(d->arena, path, strlen(path)), line, col});
  return FOREIGN | (d->foreign.n - 1);
}

bool diag_place(const Diag *d, Loc loc, Place *p) {
  *p = (Place){0};
  if (!loc) return false;
  if (loc & FOREIGN) {
    const Foreign *f = &d->foreign.at[loc & ~FOREIGN];
    *p = (Place){.path = f->path, .line = f->line, .col = f->col};
    return true;
  }
  uint32_t k = d->source.n;
  while (k > 0 && d->source.at[k - 1].base > loc) k--;
  if (!k) return false;
  const Source *s = &d->source.at[k - 1];
  size_t at = loc - s->base, start = at;
  if (at > s->n) return false;
  while (start > 0 && s->text[start - 1] != '\n') start--;
  size_t end = at;
  while (end < s->n && s->text[end] != '\n') end++;
  p->path = s->path;
  p->line = 1;
  for (size_t i = 0; i < start; i++) p->line += s->text[i] == '\n';
  p->col = (int)(at - start) + 1;
  p->text = s->text + start;
  p->n = (int)(end - start);
  return true;
}

static void say(Diag *d, MsgKind kind, const char *id, Loc loc, const char *fmt, va_list ap) {
  vec_push(d->arena, &d->message, (Message){kind, id, arena_vprintf(d->arena, fmt, ap), loc});
  d->errors += kind == MSG_ERROR;
}

bool diag_error(Diag *d, const char *id, Loc loc, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say(d, MSG_ERROR, id, loc, fmt, ap);
  va_end(ap);
  return false;
}

bool diag_warning(Diag *d, const char *id, Loc loc, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say(d, MSG_WARNING, id, loc, fmt, ap);
  va_end(ap);
  return false;
}

bool diag_note(Diag *d, Loc loc, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say(d, MSG_NOTE, NULL, loc, fmt, ap);
  va_end(ap);
  return false;
}

int diag_errors(const Diag *d) { return d->errors; }

const char *diag_first(const Diag *d, const char **id) {
  for (uint32_t i = 0; i < d->message.n; i++)
    if (d->message.at[i].kind == MSG_ERROR) {
      if (id) *id = d->message.at[i].id;
      return d->message.at[i].text;
    }
  return NULL;
}

void diag_reset(Diag *d) {
  d->message.n = 0;
  d->errors = 0;
}

void diag_print(const Diag *d, Buf *out) {
  static const char *const word[] = {"error", "warning", "note"};
  for (uint32_t i = 0; i < d->message.n; i++) {
    const Message *m = &d->message.at[i];
    Place p;
    bool placed = diag_place(d, m->loc, &p);
    if (placed) buf_printf(out, "%s:%d:%d: ", p.path, p.line, p.col);
    buf_printf(out, "%s: %s", word[m->kind], m->text);
    if (m->id) buf_printf(out, " [%s]", m->id);
    buf_put(out, "\n");
    if (!placed || !p.text) continue;
    int from = p.col > 100 ? p.col - 60 : 0, n = p.n - from > 120 ? 120 : p.n - from; /* a window of very long lines */
    buf_printf(out, "%5d | %.*s\n      | ", p.line, n, p.text + from);
    for (int k = from; k < p.col - 1; k++) buf_put(out, k < p.n && p.text[k] == '\t' ? "\t" : " ");
    buf_put(out, "^\n");
  }
}

void bug_(const char *file, int line, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "sinter: internal error at %s:%d: ", file, line);
  vfprintf(stderr, fmt, ap);
  fputs("\nThis is a mistake in Sinter, not in your model; please report it with the command and the file.\n", stderr);
  va_end(ap);
  abort();
}
