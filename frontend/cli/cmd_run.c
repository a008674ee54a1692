#include "cli.h"

static const char HELP[] = "usage: sinter run ARTEFACT [ENTRY] " RUN_HELP;
const Command command_run = {"run", "calls an entry of an artefact on .npy files", run_command, HELP};
