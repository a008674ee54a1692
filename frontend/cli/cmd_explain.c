#include "cli_model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HELP[] =
    "sinter explain FILE.sir [--target MACHINE] [--cpu LEVELS] [--gpu ARCHS] [--precision tf32] [-D NAME=VALUE]\n"
    "sinter explain ARTEFACT\n"
    "\n"
    "Prints, for every entry: the kernels with the operations each computes, why its neighbours were or were not\n"
    "fused with it, its operations and bytes, its schedule, the register tiles it was chosen from, and the\n"
    "memory of the plan against the least possible.\n"
    "A model's file is planned for level v3 (--target aarch64: a64) unless --cpu says other ones; an artefact holds "
    "the text of all its "
    "levels.\n"
    "\n"
    "--gpu sm_80,sm_90a explains what GPUs run instead (with --cpu: besides), which wants NVRTC but no GPU: of each "
    "launch the\n"
    "blocks, registers, shared memory, how many blocks a multiprocessor holds, and the least time on a card of that "
    "kind\n"
    "by what its data sheet says (A100 80 GB, A40, H100 SXM). A row that registers do not hold is read by every\n"
    "pass over it: the schedule says how many there are, and what each finds out or stores.\n"
    "\n"
    "Work is given as formulas, then at the bounds of the dimensions (64 where a bound is above 65536). `bound` is "
    "said\n"
    "of a core that does two vector multiply-adds a cycle and copies ten bytes a cycle from the cores' shared cache;\n"
    "`sinter bench` measures what a kernel reaches on this machine.\n"
    "\n"
    "Exit status: 0 done; 1 the model is not well formed, the artefact is damaged or holds no explanation; 2 the "
    "command\n"
    "line is wrong.\n";

static bool is_elf(const char *path) {
  char magic[4];
  FILE *f = *path == '-' ? NULL : fopen(path, "rb");
  bool elf = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "\177ELF", 4);
  if (f) fclose(f);
  return elf;
}

static int explain_artefact(int argc, const char *path) {
  char *text, why[SINTER_WHY];
  if (argc > 2)
    return cli_usage("%s is an artefact, explained as it was compiled: it is the only word that goes with it", path);
  if (!sinter_artefact_explain(path, &text, why)) return cli_fail("%s", why);
  fputs(text, stdout);
  free(text);
  return CLI_DONE;
}

int cmd_explain(int argc, char **argv) {
  CliModel m = {.help = HELP, .allowed = "--target --cpu --gpu --precision -D"};
  int code;
  for (int i = 1; i < argc; i++)
    if (is_elf(argv[i])) return explain_artefact(argc, argv[i]);
  if (!cli_model_begin(&m, argc, argv, &code)) return cli_model_end(&m, code);
  Buf text = {0};
  m.options.emit = EMIT_LOOP;
  code = explain_program(&m.program, &m.options, &text) ? CLI_DONE : CLI_FAILED;
  if (text.n) fwrite(text.at, 1, text.n, stdout);
  buf_free(&text);
  return cli_model_end(&m, code);
}
