/* The command line: `sinter COMMAND ...`. A command is a Command of its own file, listed in main.c; it returns an exit
 * status. Options, messages and calls of entries are shared with executables: runtime/tool/call.h. */
#ifndef SINTER_CLI_H
#define SINTER_CLI_H
#include "call.h"
#include "str.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Command {
  const char *name, *summary;
  int (*run)(int argc, char **argv); /* argv[0]: the command's name */
  const char *help;                  /* printed by --help; NULL: the command does it itself */
} Command;

int cmd_compile(int argc, char **argv), cmd_check(int argc, char **argv), cmd_explain(int argc, char **argv);
extern const Command command_bench, command_cuda, command_run, command_train, command_info, command_verify;

/* CLI_DONE, or CLI_FAILED after a sentence; artefact_end. */
int artefact_open(Artefact *, const char *path);
int artefact_look(Artefact *,
                  const char *path); /* a program, or one for another machine, has a description only: api is NULL */
#endif
