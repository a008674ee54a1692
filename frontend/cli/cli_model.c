#include "cli_model.h"
#include "sir.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool allowed(const CliModel *m, const char *option) {
  size_t n = strlen(option);
  for (const char *s = m->allowed; (s = strstr(s, option)); s += n)
    if ((s == m->allowed || s[-1] == ' ') && (s[n] == 0 || s[n] == ' ')) return true;
  return false;
}

static int unknown(const CliModel *m, const char *option) {
  const char *words[16];
  size_t n = 0;
  for (const char *s = m->allowed; *s && n < 16; s += strspn(s, " ")) {
    size_t k = strcspn(s, " ");
    words[n++] = arena_strndup(m->ctx.arena, s, k);
    s += k;
  }
  const char *near = str_nearest(option, words, n);
  return near ? cli_usage("there is no option %s; did you mean %s?", option, near)
              : cli_usage("there is no option %s", option);
}

static int set_emit(CompileOptions *o, const char *word) {
  for (int k = EMIT_SO; k <= EMIT_ASM; k++)
    if (!strcmp(emit_kind_name((EmitKind)k), word)) {
      o->emit = (EmitKind)k;
      return CLI_DONE;
    }
  return cli_usage("--emit wants so, exe, obj, lib, graph, loop, llvm or asm, not \"%s\"", word);
}

static int set_define(CliModel *m, SirOptions *sir, SirDefine *defines, const char *text) {
  const char *eq = strchr(text, '=');
  if (!eq || eq == text || !eq[1]) return cli_usage("-D wants NAME=VALUE, not \"%s\"", text);
  defines[sir->ndefines++] = (SirDefine){arena_strndup(m->ctx.arena, text, (size_t)(eq - text)), eq + 1};
  return CLI_DONE;
}

static int set_jobs(CompileOptions *o, const char *text) {
  int64_t n;
  if (!number_read_int(text, 1, 1024, &n)) return cli_usage("-j wants a number from 1 to 1024, not \"%s\"", text);
  o->jobs = (int)n;
  return CLI_DONE;
}

static int set_precision(CompileOptions *o, const char *word) {
  o->tf32 = !strcmp(word, "tf32");
  return o->tf32 || !strcmp(word, "exact") ? CLI_DONE : cli_usage("--precision wants exact or tf32, not \"%s\"", word);
}

static int set_max_size(CompileOptions *o, const char *text) {
  size_t n = strspn(text, "0123456789");
  int shift = !text[n] ? 0 : !strcmp(text + n, "K") ? 10 : !strcmp(text + n, "M") ? 20 : -1;
  uint64_t bytes = strtoull(text, NULL, 10);
  if (!n || n > 12 || shift < 0 || !bytes)
    return cli_usage("--max-size wants a number of bytes, also as 300K or 2M, not \"%s\"", text);
  o->max_size = bytes << shift;
  return CLI_DONE;
}

static int set_text(CompileOptions *o, const char *option, const char *value) {
  if (!strcmp(option, "-o"))
    o->output = value;
  else if (!strcmp(option, "--prefix"))
    o->prefix = value;
  else if (!strcmp(option, "--target"))
    o->target = value;
  else if (!strcmp(option, "--cpu"))
    o->cpu = value;
  else if (!strcmp(option, "--gpu"))
    o->gpu = value;
  else if (!strcmp(option, "--dump-dir"))
    o->dump_dir = value;
  else if (!strcmp(option, "--linker"))
    o->linker = value;
  else if (!strcmp(option, "--weights"))
    o->weights = value;
  else
    BUG("the option %s", option);
  return CLI_DONE;
}

static int read_words(CliModel *m, int argc, char **argv, SirOptions *sir, SirDefine *defines) {
  CompileOptions *o = &m->options;
  for (int i = 1; i < argc; i++) {
    const char *a = argv[i];
    if (*a != '-') {
      if (m->file) return cli_usage("one model at a time, but there is a second file \"%s\"", a);
      m->file = a;
      continue;
    }
    bool joined = (a[1] == 'D' || a[1] == 'j') && a[2]; /* -DN=3 */
    const char *equals = a[1] == '-' ? strchr(a, '=') : NULL;
    const char *option = joined   ? arena_strndup(m->ctx.arena, a, 2)
                         : equals ? arena_strndup(m->ctx.arena, a, (size_t)(equals - a))
                                  : a;
    if (!allowed(m, option)) return unknown(m, option);
    bool *flag = !strcmp(option, "--time")         ? &o->time
                 : !strcmp(option, "--check")      ? &o->check
                 : !strcmp(option, "--no-explain") ? &o->no_explain
                 : !strcmp(option, "--size")       ? &o->size
                                                   : NULL;
    if (flag) {
      if (equals) return cli_usage("%s takes no value", option);
      *flag = true;
      continue;
    }
    const char *value = joined ? a + 2 : equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
    if (!value) return cli_usage("%s wants a value after it", option);
    int code = !strcmp(option, "-D")            ? set_define(m, sir, defines, value)
               : !strcmp(option, "-j")          ? set_jobs(o, value)
               : !strcmp(option, "--max-size")  ? set_max_size(o, value)
               : !strcmp(option, "--emit")      ? set_emit(o, value)
               : !strcmp(option, "--precision") ? set_precision(o, value)
                                                : set_text(o, option, value);
    if (code) return code;
  }
  if (!m->file) return cli_usage("which model? Name its file");
  return o->tf32 && !o->gpu ? cli_usage("--precision tf32 is about GPUs: it goes with --gpu") : CLI_DONE;
}

bool cli_model_begin(CliModel *m, int argc, char **argv, int *code) {
  m->ctx = ctx_new();
  *code = CLI_DONE;
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
      fputs(m->help, stdout);
      return false;
    }
  SirDefine *defines = ARENA_ARRAY(m->ctx.arena, SirDefine, argc);
  SirOptions sir = {.defines = defines};
  *code = read_words(m, argc, argv, &sir, defines);
  if (*code) return false;
  m->options.source = m->file;
  if (sir_trace(&m->ctx, m->file, &sir, &m->program)) return true;
  *code = CLI_FAILED;
  return false;
}

int cli_model_end(CliModel *m, int code) {
  Buf text = {0};
  fflush(stdout);
  diag_print(m->ctx.diag, &text);
  if (text.n) fwrite(text.at, 1, text.n, stderr);
  buf_free(&text);
  ctx_free(&m->ctx);
  return code;
}
