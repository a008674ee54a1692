/* The program around a model: `MODEL [ENTRY] NAME=FILE ...` does what `sinter run` does. */
#include "exe.h"
#include "call.h"
#include "os.h"
#include "rt.h"

const char *cli_name(void) { return RT_TEXT(RT_MODEL->name); }

int artefact_begin(Artefact *s, const Words *words, int *next) {
  (void)words, (void)next;
  *s = (Artefact){.path = cli_name(), .m = RT_MODEL, .api = &sinter_rt_api};
  if (exe_has_weights()) s->open_embedded = exe_open_weights;
  return CLI_DONE;
}

void artefact_end(Artefact *s) {
  sinter_rt_free(s->c);
  sinter_rt_close(s->w);
}

static int help(void) {
  const SinterModel *m = RT_MODEL;
  Text t = {0};
  text_printf(&t, "%s: the model %s, made by %s from %s\n\nusage: %s [ENTRY] %s\nentries:\n", cli_name(),
              RT_TEXT(m->name), RT_TEXT(m->compiler), RT_TEXT(m->source), cli_name(), RUN_HELP);
  model_signatures(&t, m);
  text_put(&t, "\nlevels of processors:");
  for (uint32_t i = 0; i < SINTER_LEVELS; i++)
    if (m->levels >> i & 1) text_printf(&t, " %s", sinter_level_text(i));
  if (exe_has_weights()) text_put(&t, "\nweights: built in; --weights and --init take others");
  text_put(&t, "\nExit status: 0 done, 1 refused or failed, 2 used wrongly.\n");
  int status = cli_print(&t);
  text_free(&t);
  return status;
}

int exe_main(int argc, char **argv) {
  if (cli_wants_help(argc, argv)) return help();
  int status = run_command(argc, argv);
  if (status == CLI_USAGE) {
    Text t = {0};
    text_printf(&t, "`%s --help` says how it is used.\n", cli_name());
    if (!t.lost) os_write(OS_ERROR, t.at, t.n);
    text_free(&t);
  }
  return status;
}
