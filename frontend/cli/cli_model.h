/* What the commands that read a model share: their options and tracing. */
#ifndef SINTER_CLI_MODEL_H
#define SINTER_CLI_MODEL_H
#include "cli.h"
#include "compiler.h"

typedef struct CliModel {
  const char *help;
  const char *allowed; /* options of the command: "-o --cpu -D" */
  const char *file;
  CompileOptions options; /* all that were given */
  Ctx ctx;
  Program program;
} CliModel;

/* Reads options (-D may come several times, -j4 and -DN=3 may be one word) and the one FILE, and traces it. False:
 * leave with *code; help was printed, or a sentence. The caller ends with cli_model_end either way. */
bool cli_model_begin(CliModel *, int argc, char **argv, int *code);
int cli_model_end(CliModel *, int code); /* prints what the Diag holds to stderr, frees, returns the code */
#endif
