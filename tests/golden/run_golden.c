/* Golden text: tests/golden/PASS/NAME.t holds an input, a line `---`, and the exact text that the pass makes of it. The
 * first line of a file says its idea; a line `# level: v2 v3` names the levels (v4 where there is none), `# only: TEXT`
 * keeps the lines with this text. BLESS=1 rewrites what stands behind `---`. Arguments: the files to run, instead of
 * all. Run from the root.
 *
 *   simplify  a program, as simplified, in the flat form
 *   fuse      its groups and the notes on what was fused, for a processor or for `# level: gpu`
 *   lower     its kernels            } planned kernels are also verified, read back from their text, and compared with
 *   plan      its plans              } the graph by the interpreter
 *   loop      a module of Loop IR, printed */
#include "check.h"
#include "pass.h"
#include "simplify.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#include "each_file.h"

typedef struct Case {
  Ctx c;
  const char *path, *input;
  size_t ninput;
  Program p;
  Unit unit;
  LevelUnit level;
} Case;

static bool simplified(Case *t) {
  return sir_trace_text(&t->c, t->path, t->input, t->ninput, NULL, &t->p) &&
         program_map(&t->p, pass_inline_all, NULL) && program_map(&t->p, pass_simplify, NULL) && program_verify(&t->p);
}

static bool ready(Case *t) { /* for planning */
  return simplified(t) && program_map(&t->p, pass_half, NULL) && program_verify(&t->p);
}

static bool run_simplify(Case *t, Buf *out) {
  if (!simplified(t)) return false;
  program_print(&t->p, false, out);
  return true;
}

static bool run_half(Case *t, Buf *out) {
  if (!ready(t)) return false;
  program_print(&t->p, false, out);
  return true;
}

static bool run_fuse(Case *t, bool gpu, Buf *out) {
  if (!ready(t)) return false;
  for (uint32_t i = 0; i < t->p.entries.n; i++) {
    entry_roots(&t->p.entries.at[i]);
    const Entry *e = gpu ? pass_attention_grad(&t->p.entries.at[i]) : &t->p.entries.at[i];
    if (!e) return false;
    const Groups *groups = pass_fuse(e->graph, e->graph->output.at, (int)e->graph->output.n, gpu);
    buf_printf(out, "entry %s\n", e->name);
    for (uint32_t k = 0; k < groups->at.n; k++) group_print(groups, k, out);
  }
  return true;
}

/* Plans the program for a level; what came out must be good whatever its text is. */
static bool planned(Case *t, const char *level, Buf *text) {
  Ctx *c = &t->c;
  static const int64_t size[] = {1, 7, 40};
  t->unit = (Unit){.program = &t->p, .init = plan_init_entry(&t->p)};
  if (!plan_level(&t->unit, target_find(level), &t->level) || !loop_verify(t->level.module, level)) return false;
  CheckResult r;
  if (!check_start(&t->unit, &t->level, 3, &r)) return false;
  for (int e = 0; e < (int)t->p.entries.n; e++)
    for (int s = 0; s < 3; s++) {
      if (!check_entry(&t->unit, &t->level, e, size[s], 3, &r)) return false;
    }
  loop_print(t->level.module, text);
  LoopModule *again;
  Buf second = {0};
  if (!loop_parse(c, "printed.loop", text->at, text->n, &again)) return false;
  loop_print(again, &second);
  assert_string_equal(text->at, second.at);
  buf_free(&second);
  return true;
}

/* The kernels of a module's text, or its plans. */
static bool run_levels(Case *t, const char *levels, bool plans, Buf *out) {
  if (!ready(t)) return false;
  char *list = arena_strndup(t->c.arena, levels, strlen(levels)), *save = NULL;
  for (char *level = strtok_r(list, " ", &save); level; level = strtok_r(NULL, " ", &save)) {
    Buf text = {0};
    if (!target_find(level)) fail_msg("%s: there is no level %s", t->path, level);
    if (!planned(t, level, &text)) return false;
    const char *plan = strstr(text.at, "plan "), *entry = strstr(text.at, "\nentry ");
    while (plan > text.at && plan[-1] != '\n') plan = strstr(plan + 1, "plan ");
    if (strchr(levels, ' ')) buf_printf(out, "# %s\n", level);
    if (plans)
      buf_printf(out, "%.*s", (int)(entry - plan), plan);
    else
      buf_printf(out, "%.*s", (int)(plan - text.at), text.at);
    buf_free(&text);
  }
  return true;
}

static bool run_loop(Case *t, Buf *out) {
  LoopModule *m, *again;
  Buf second = {0};
  if (!loop_parse(&t->c, t->path, t->input, t->ninput, &m)) return false;
  loop_print(m, out);
  if (!loop_parse(&t->c, t->path, out->at, out->n, &again)) return false;
  loop_print(again, &second);
  assert_string_equal(out->at, second.at);
  buf_free(&second);
  return true;
}

/* What stands behind `# KEY: ` in the input, or NULL. */
static const char *setting(Case *t, const char *key) {
  const char *line = strstr(t->input, arena_printf(t->c.arena, "\n# %s: ", key));
  if (!line) return NULL;
  line = strchr(line, ':') + 2;
  return arena_strndup(t->c.arena, line, strcspn(line, "\n"));
}

static void keep_lines(Buf *b, const char *text) {
  Buf out = {0};
  for (char *line = b->at, *end; line && *line; line = end) {
    end = line + strcspn(line, "\n");
    end += *end == '\n';
    const char *found = strstr(line, text);
    if (found && found < end) buf_printf(&out, "%.*s", (int)(end - line), line);
  }
  buf_free(b);
  *b = out;
}

static void one_file(void **state) {
  Case t = {.c = ctx_new(), .path = *state};
  size_t n;
  const char *why;
  char *text = file_read(t.c.arena, t.path, &n, &why);
  if (!text) fail_msg("%s", why);
  if (strncmp(text, "# ", 2)) fail_msg("%s: the first line does not say the idea", t.path);
  char *split = strstr(text, "\n---\n");
  if (!split) fail_msg("%s: there is no line ---", t.path);
  t.ninput = (size_t)(split + 1 - text);
  t.input = arena_strndup(t.c.arena, text, t.ninput);
  const char *want = split + 5, *levels = setting(&t, "level"), *only = setting(&t, "only");

  Buf got = {0};
  const char *pass = t.path + strlen("tests/golden/");
  bool ok = !strncmp(pass, "simplify/", 9) ? run_simplify(&t, &got)
            : !strncmp(pass, "half/", 5)   ? run_half(&t, &got)
            : !strncmp(pass, "fuse/", 5)   ? run_fuse(&t, levels && !strcmp(levels, "gpu"), &got)
            : !strncmp(pass, "loop/", 5)   ? run_loop(&t, &got)
                                           : run_levels(&t, levels ? levels : "v4", !strncmp(pass, "plan/", 5), &got);
  if (!ok) {
    got.n = 0;
    diag_print(t.c.diag, &got);
  }
  if (ok && only) keep_lines(&got, only);
  const char *bless = getenv("BLESS");
  if (bless && *bless && strcmp(bless, "0")) {
    FILE *f = fopen(t.path, "w");
    if (!f) fail_msg("%s cannot be written", t.path);
    fprintf(f, "%s---\n%s", t.input, got.n ? got.at : "");
    fclose(f);
  } else if (strcmp(got.n ? got.at : "", want)) {
    size_t at = 0;
    while (want[at] && want[at] == got.at[at]) at++;
    while (at && want[at - 1] != '\n') at--;
    print_error("%s: expected\n%.*s\ngot\n%.*s\n", t.path, (int)strcspn(want + at, "\n"), want + at,
                (int)strcspn(got.at + at, "\n"), got.at + at);
    fail_msg("%s differs; BLESS=1 rewrites it", t.path);
  }
  buf_free(&got);
  ctx_free(&t.c);
}

int main(int argc, char **argv) {
  static const char *const patterns[] = {"tests/golden/*/*.t", NULL};
  return each_file("golden", argc, argv, patterns, one_file);
}
