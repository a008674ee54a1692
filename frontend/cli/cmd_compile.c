#include "cli_model.h"
#include <stdio.h>
#include <string.h>

static const char HELP[] =
    "sinter compile FILE.sir -o OUT.so [options]\n"
    "\n"
    "Compiles a model to a library and its C header beside it (OUT.h; beside libNAME.a: NAME.h), or to a program.\n"
    "\n"
    "  -o FILE             the output; with --emit graph, loop, llvm or asm the text goes to the terminal without it,\n"
    "                      or with -\n"
    "  --emit KIND         so (default), lib (a static library, -o libNAME.a), obj (one object), exe (a static\n"
    "                      program that needs no C library: OUT --help);\n"
    "                      as text: graph, loop, llvm, asm (v3, unless --cpu says another)\n"
    "  --target MACHINE    x86_64 or aarch64 (default: this one); nothing of the other machine need be installed\n"
    "  --cpu LEVELS        of x86_64: v2,v3,v4 (default: all three in one library, the best is chosen when it is "
    "opened);\n"
    "                      of aarch64: a64; or native\n"
    "  --gpu ARCHS         code for NVIDIA's GPUs besides: sm_80, sm_90a, others from sm_80 on; compute_80: PTX, "
    "which\n"
    "                      runs on all that come later. Wants NVRTC, but no GPU: `sinter cuda --help` says where it "
    "is\n"
    "                      looked for\n"
    "  --precision tf32    on a GPU, tensor cores multiply f32 too, rounded to 10 bits of mantissa (default: exact)\n"
    "  -D NAME=VALUE       another value for a const of the file\n"
    "  --prefix NAME       of the C functions (default: the file's name)\n"
    "  -j N                processes that generate code at once (default: one a processor)\n"
    "  --dump-dir DIR      write every form in between into numbered files\n"
    "  --time              print the time of every pass\n"
    "  --check             evaluate the model before and after every pass and compare; a note says what is too large\n"
    "  --no-explain        leave out what `sinter explain` reads in the library (it is never loaded)\n"
    "  --size              print what the bytes of the library are, by part, level and kernel\n"
    "  --max-size BYTES    refuse to write a larger library; also as 300K or 2M (1024 and 1048576 bytes)\n"
    "  --weights FILE      with --emit exe: parameters and states from a safetensors file, built into the program\n"
    "  --linker PROGRAM    another ld.lld than ld.lld-19\n"
    "\n"
    "Exit status: 0 done; 1 the model or the system does not allow it; 2 the command line is wrong. A failure leaves "
    "no file.\n";

static bool read_weights(Arena *a, const char *path, const void *model, CompileWeights *out, const char **why) {
  const SinterModel *m = model;
  char *text = arena_alloc(a, SINTER_WHY);
  SinterStored s;
  if (!sinter_stored_read(&s, m, path, text)) return *why = text, false;
  size_t calls = m->entries.n * sizeof *s.calls;
  *out = (CompileWeights){.cells = arena_alloc(a, m->cells_bytes),
                          .given = arena_alloc(a, m->cells.n),
                          .seed = s.seed,
                          .calls = arena_alloc(a, calls),
                          .note = arena_printf(a, "%s", s.note)};
  memcpy(out->cells, s.cells, m->cells_bytes);
  memcpy(out->given, s.given, m->cells.n);
  memcpy(out->calls, s.calls, calls);
  sinter_stored_free(&s);
  return true;
}

int cmd_compile(int argc, char **argv) {
  CliModel m = {.help = HELP,
                .allowed = "-o --emit --target --cpu --gpu --precision -D --prefix -j --dump-dir --time --check "
                           "--no-explain --linker --size "
                           "--max-size --weights"};
  int code;
  if (!cli_model_begin(&m, argc, argv, &code)) return cli_model_end(&m, code);
  const CompileOptions *o = &m.options;
  CompileResult r = {0};
  m.options.read_weights = read_weights;
  if (o->weights && o->emit != EMIT_EXE) {
    cli_usage("--weights goes with --emit exe; a library opens its weights by PREFIX_open");
    return cli_model_end(&m, CLI_USAGE);
  }
  if (o->output && !strcmp(o->output, "-")) m.options.output = NULL; /* the terminal */
  if (!o->output && emit_kind_is_binary(o->emit)) {
    cli_usage("where to? Name the output by -o FILE");
    return cli_model_end(&m, CLI_USAGE);
  }
  if (o->emit >= EMIT_GRAPH && (o->size || o->max_size)) {
    cli_usage("--size and --max-size go with --emit so, lib or obj, not with %s", emit_kind_name(o->emit));
    return cli_model_end(&m, CLI_USAGE);
  }
  if ((o->emit >= EMIT_GRAPH || o->emit == EMIT_EXE) && o->gpu) {
    cli_usage("--gpu goes with --emit so, lib or obj, not with %s", emit_kind_name(o->emit));
    return cli_model_end(&m, CLI_USAGE);
  }
  code = compile_program(&m.program, o, &r) ? CLI_DONE : CLI_FAILED;
  if (r.text.n && code == CLI_DONE) fwrite(r.text.at, 1, r.text.n, stdout);
  if (r.notes.n) fwrite(r.notes.at, 1, r.notes.n, stderr);
  buf_free(&r.text);
  buf_free(&r.notes);
  return cli_model_end(&m, code);
}
