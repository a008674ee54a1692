/* `sinter bench MODEL.sir --emit c`: a kernel as a program of its own. */
#include "bench.h"
#include "compiler.h"
#include "sir.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_dims(const Words *words, int next, BenchSource *q, Arena *a) {
  const char **names = ARENA_ARRAY(a, const char *, words->n + 1);
  int64_t *values = ARENA_ARRAY(a, int64_t, words->n + 1);
  for (; next < words->n; next++) {
    const char *w = words->at[next], *eq = strchr(w, '=');
    if (!eq || eq == w || !number_read_int(eq + 1, 0, INT64_MAX, &values[q->ndims]))
      return cli_usage("\"%s\" is no DIM=NUMBER, which is all that --emit c takes beside the entry", w);
    names[q->ndims++] = arena_strndup(a, w, (size_t)(eq - w));
  }
  q->dims = names;
  q->values = values;
  return CLI_DONE;
}

static int write_program(Ctx *c, const char *model, const CompileOptions *o, const BenchSource *q) {
  Program p;
  Buf text = {0}, said = {0};
  const char *why;
  int status = sir_trace(c, model, &(SirOptions){0}, &p) && bench_program(&p, o, q, &text) ? CLI_DONE : CLI_FAILED;
  diag_print(c->diag, &said);
  if (said.n) fwrite(said.at, 1, said.n, stderr);
  if (!status && o->output && !file_write(c->arena, o->output, text.at, text.n, &why)) status = cli_fail("%s", why);
  if (!status && !o->output) fwrite(text.at, 1, text.n, stdout);
  buf_free(&said);
  buf_free(&text);
  return status;
}

int bench_emit(int argc, char **argv) {
  const char *emit = NULL, *kernel = NULL, *output = NULL, *cpu = NULL;
  Ctx c = ctx_new();
  Words words = {ARENA_ARRAY(c.arena, const char *, argc + 1), 0};
  const Option options[] = {{"--emit", &emit, NULL, NULL},
                            {"--kernel", &kernel, NULL, NULL},
                            {"-o", &output, NULL, NULL},
                            {"--cpu", &cpu, NULL, NULL}};
  int status = cli_options(argc, argv, options, 4, &words), next = 1;
  BenchSource q = {.kernel = kernel};
  if (!status && (!emit || strcmp(emit, "c"))) status = cli_usage("--kernel and --emit c go together");
  if (!status && !kernel) status = cli_usage("--emit c wants --kernel K, one of those that `sinter explain` lists");
  if (!status && words.n == 0) status = cli_usage("which model? Name its file");
  size_t n = words.n ? strlen(words.at[0]) : 0;
  if (!status && (n < 4 || strcmp(words.at[0] + n - 4, ".sir")))
    status = cli_usage("--emit c wants the model's file, FILE.sir, not \"%s\": an artefact holds machine code only",
                       words.at[0]);
  if (!status && words.n > 1 && !strchr(words.at[1], '=')) q.entry = words.at[next++];
  if (!status) status = read_dims(&words, next, &q, c.arena);
  CompileOptions o = {.output = output, .source = words.n ? words.at[0] : NULL, .cpu = cpu ? cpu : "native"};
  if (!status) status = write_program(&c, words.at[0], &o, &q);
  ctx_free(&c);
  return status;
}
