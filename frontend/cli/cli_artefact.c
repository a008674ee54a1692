#include "cli.h"
#include <string.h>
#include <unistd.h>

const char *cli_name(void) { return "sinter"; }

static void name(Artefact *s, const char *path) { *s = (Artefact){.path = path, .lister = "sinter info"}; }

int artefact_open(Artefact *s, const char *path) {
  char why[SINTER_WHY];
  name(s, path);
  if (!sinter_artefact_open(&s->art, path, why)) {
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".sir") && access(path, R_OK) == 0)
      return cli_fail("%s is a model: `sinter compile %s -o FILE.so` makes an artefact of it", path, path);
    return cli_fail("%s", why);
  }
  s->m = s->art.model;
  s->api = s->art.api;
  return CLI_DONE;
}

int artefact_look(Artefact *s, const char *path) {
  char why[SINTER_WHY];
  uint32_t machine;
  name(s, path);
  if (!sinter_artefact_verify(path, NULL, &machine, why)) return cli_fail("%s", why);
  if (machine == sinter_machine() && !sinter_artefact_is_program(path)) return artefact_open(s, path);
  if (!sinter_artefact_read(&s->art, path, why)) return cli_fail("%s", why);
  s->m = s->art.model;
  return CLI_DONE;
}

int artefact_begin(Artefact *s, const Words *words, int *next) {
  if (*next >= words->n) return cli_usage("run wants an artefact");
  return artefact_open(s, words->at[(*next)++]);
}

void artefact_end(Artefact *s) {
  if (s->api) {
    s->api->free(s->c);
    s->api->close(s->w);
  }
  sinter_artefact_close(&s->art);
}
