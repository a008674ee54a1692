#include "cli_model.h"
#include <stdio.h>

static const char HELP[] = "sinter check FILE.sir [-D NAME=VALUE]\n"
                           "\n"
                           "Reads a model and traces it: syntax, names, shapes and types. Makes no code. Prints the "
                           "entries with their shapes.\n"
                           "\n"
                           "Exit status: 0 the model is well formed; 1 it is not; 2 the command line is wrong.\n";

static void put_ports(Ctx *c, const Port *p, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    const char *type = graph_shape_text(c, p[i].dtype, p[i].shape, p[i].rank);
    if (p[i].name)
      printf("%s%s: %s", i ? ", " : "", p[i].name, type);
    else
      printf("%s%s", i ? ", " : "", type);
  }
}

int cmd_check(int argc, char **argv) {
  CliModel m = {.help = HELP, .allowed = "-D"};
  int code;
  if (!cli_model_begin(&m, argc, argv, &code)) return cli_model_end(&m, code);
  int params = 0, states = 0;
  for (uint32_t i = 0; i < m.program.cells.n; i++) *(m.program.cells.at[i].kind == CELL_PARAM ? &params : &states) += 1;
  for (uint32_t i = 0; i < m.program.entries.n; i++) {
    const Entry *e = &m.program.entries.at[i];
    printf("%s(", e->name);
    put_ports(&m.ctx, e->inputs.at, e->inputs.n);
    printf(") -> ");
    put_ports(&m.ctx, e->outputs.at, e->outputs.n);
    printf("%s\n", e->training ? " train" : "");
  }
  printf("%s is well formed: %u %s, %d parameters, %d states\n", m.file, m.program.entries.n,
         m.program.entries.n == 1 ? "entry" : "entries", params, states);
  return cli_model_end(&m, CLI_DONE);
}
