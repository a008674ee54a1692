/* A weight file as an artefact holds it. */
#include "os.h"
#include "rt.h"
#include "sinter.h"
#include "text.h"

static bool read_cells(SinterStored *s, RtMatch *l) {
  const SinterModel *m = l->model;
  const SinterCell *c = SINTER_LIST(SinterCell, m, m->cells);
  if (rt_match(l, false)) return false;
  for (uint32_t i = 0; i < m->cells.n; i++) {
    const Tensor *t = c[i].kind == 2 ? NULL : rt_match_find(l, &c[i]);
    int e = t ? sys_read_file(l->file.file, s->cells + c[i].at, c[i].bytes, t->begin) : 0;
    s->given[i] = t != NULL;
    if (!e) continue;
    rt_fail(l->message, 0, "cannot read %s: %s", l->path, rt_error(e));
    return false;
  }
  rt_match_numbers(l, &s->seed, s->calls);
  rt_match_notes(l);
  return true;
}

bool sinter_stored_read(SinterStored *s, const SinterModel *m, const char *path, char *why) {
  char message[RT_MESSAGE] = "";
  *s = (SinterStored){.cells = os_alloc(m->cells_bytes),
                      .given = os_alloc(m->cells.n),
                      .calls = os_alloc(m->entries.n * sizeof *s->calls)};
  RtMatch l = {.model = m, .path = path, .message = message, .strip = ""};
  bool good = false;
  if (!s->cells || !s->given || !s->calls) {
    rt_fail(message, 0, "no memory for the %u bytes of the weights", m->cells_bytes);
  } else if (!rt_tensors_open(&l.file, path, message)) {
    good = read_cells(s, &l);
    rt_tensors_close(&l.file);
  }
  text_into(good ? s->note : why, SINTER_WHY, "%s", message);
  if (!good) sinter_stored_free(s);
  return good;
}

void sinter_stored_free(SinterStored *s) {
  os_free(s->cells), os_free(s->given), os_free(s->calls);
  *s = (SinterStored){0};
}
