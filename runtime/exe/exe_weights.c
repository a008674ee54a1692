/* Weights that were built in. */
#include "exe.h"
#include "rt.h"

/* Start values of what was not in the file; the entry that sets them sets all, so it works on memory of its own. */
static int fill_missing(SinterWeights *w, const uint8_t *given) {
  const SinterCell *c = RT_RECORDS(SinterCell, RT_MODEL->cells);
  uint64_t bytes = rt_up(RT_MODEL->cells_bytes);
  char *own = w->cells, *all = sys_alloc(bytes);
  if (!all)
    return rt_fail(w->message, SINTER_ERROR_MEMORY, "no memory for the start values of %s (%u bytes)",
                   RT_TEXT(RT_MODEL->name), bytes);
  w->cells = all;
  int status = rt_weights_start(w);
  w->cells = own;
  for (uint32_t i = 0; i < RT_MODEL->cells.n && !status; i++)
    if (!given[i] && c[i].has_init) memcpy(own + c[i].at, all + c[i].at, c[i].bytes);
  sys_free(all, bytes);
  return status;
}

extern SinterEmbedded sinter_embedded __attribute__((visibility("hidden"), weak)); /* at NULL: there is none */

bool exe_has_weights(void) { return &sinter_embedded != NULL; }

int exe_open_weights(SinterWeights **out) {
  SinterEmbedded *e = &sinter_embedded;
  int status = rt_weights_make(out, e->seed, e);
  if (status) return status;
  SinterWeights *w = *out;
  const uint64_t *calls = (const uint64_t *)(const void *)((char *)e + e->calls);
  for (uint32_t i = 0; i < RT_MODEL->entries.n; i++) w->first_call[i] = w->last_call[i] = calls[i];
  return rt_weights_opened(w, e->missing ? fill_missing(w, (const uint8_t *)e + e->given) : SINTER_OK);
}
