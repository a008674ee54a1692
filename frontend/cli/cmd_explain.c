#include "cli_model.h"
#include <stdio.h>

static const char HELP[] = "sinter explain FILE.sir [--cpu LEVEL] [-D NAME=VALUE]\n"
                           "\n"
                           "Prints, for every entry: the kernels with the operations each computes, its schedule, why "
                           "its neighbours were or were\n"
                           "not fused with it, and the memory of the plan against the least possible. For level v3 "
                           "unless --cpu says another.\n"
                           "\n"
                           "Exit status: 0 done; 1 the model is not well formed; 2 the command line is wrong.\n";

int cmd_explain(int argc, char **argv) {
  CliModel m = {.help = HELP, .allowed = "--cpu -D"};
  int code;
  if (!cli_model_begin(&m, argc, argv, &code)) return cli_model_end(&m, code);
  Buf text = {0};
  m.options.emit = EMIT_LOOP;
  code = explain_program(&m.program, &m.options, &text) ? CLI_DONE : CLI_FAILED;
  if (text.n) fwrite(text.at, 1, text.n, stdout);
  buf_free(&text);
  return cli_model_end(&m, code);
}
