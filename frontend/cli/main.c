#include "cli.h"
#include <stdio.h>
#include <string.h>

static const Command COMPILE = {"compile", "makes an artefact of a model", cmd_compile, NULL};
static const Command CHECK = {"check", "reads a model and shows its entries; makes no code", cmd_check, NULL};
static const Command EXPLAIN = {"explain", "shows what is fused into which kernel, and why", cmd_explain, NULL};
static const Command *const COMMANDS[] = {&COMPILE, &command_train, &command_run,    &command_bench, &command_info,
                                          &CHECK,   &EXPLAIN,       &command_verify, &command_cuda};
enum { N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS };
#ifndef SINTER_VERSION
#define SINTER_VERSION "0.1.0"
#endif
#define VERSION "sinter " SINTER_VERSION

static void print_help(FILE *f) {
  fputs(VERSION ": makes one native binary of a model, that trains and predicts\n\nusage: sinter COMMAND ...\n\n", f);
  for (int i = 0; i < N_COMMANDS; i++) fprintf(f, "  %-9s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
  fputs("\n`sinter COMMAND --help` says more. `sinter --version` prints the version.\n"
        "Exit status: 0 done, 1 refused or failed, 2 used wrongly.\n",
        f);
}

static const Command *find(const char *name) {
  for (int i = 0; i < N_COMMANDS; i++)
    if (strcmp(COMMANDS[i]->name, name) == 0) return COMMANDS[i];
  return NULL;
}

static bool wants_help(int argc, char **argv) {
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
  return false;
}

static int unknown(const char *name) {
  const char *words[N_COMMANDS];
  for (int i = 0; i < N_COMMANDS; i++) words[i] = COMMANDS[i]->name;
  const char *near = str_nearest(name, words, N_COMMANDS);
  if (near) return cli_usage("there is no command \"%s\"; did you mean %s?", name, near);
  return cli_usage("there is no command \"%s\"; `sinter --help` lists them", name);
}

int main(int argc, char **argv) {
  if (argc < 2) return print_help(stderr), CLI_USAGE;
  bool help = strcmp(argv[1], "help") == 0 && argc > 2;
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (strcmp(argv[1], "help") == 0 && !help))
    return print_help(stdout), CLI_DONE;
  if (strcmp(argv[1], "--version") == 0) return puts(VERSION), CLI_DONE;
  const char *name = argv[help ? 2 : 1];
  const Command *c = find(name);
  if (!c) return unknown(name);
  if (c->help && (help || wants_help(argc - 1, argv + 1))) return fputs(c->help, stdout), CLI_DONE;
  char *only_help[] = {argv[help ? 2 : 1], (char[]){"--help"}, NULL};
  if (help) return c->run(2, only_help);
  int status = c->run(argc - 1, argv + 1);
  if (status == CLI_USAGE) fprintf(stderr, "`sinter %s --help` says how it is used.\n", c->name);
  if (fflush(stdout) || ferror(stdout)) return cli_fail("cannot write to the standard output");
  return status;
}
