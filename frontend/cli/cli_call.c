#include "cli_call.h"
#include <stdlib.h>
#include <string.h>

static int choose_entry(Call *c, const Words *rest, int *next) {
  const SinterModel *m = c->s.m;
  if (*next < rest->n && !strchr(rest->at[*next], '=')) {
    int found = model_entry(&c->s, rest->at[(*next)++]);
    c->index = (uint32_t)found;
    return found < 0 ? CLI_FAILED : CLI_DONE;
  }
  Buf names = {0};
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    if (model_entries(m)[i].flags & SINTER_ENTRY_HIDDEN) continue;
    c->index = i;
    buf_printf(&names, "%s%s", n++ ? ", " : "", sinter_text(m, model_entries(m)[i].name));
  }
  if (n != 1)
    cli_fail("%s has %s: name one of its entries: %s", c->s.path, n ? "several entries" : "no entry",
             n ? names.at : "none");
  buf_free(&names);
  return n == 1 ? CLI_DONE : CLI_FAILED;
}

int call_begin(Call *c, const Words *words, int *next) {
  const SinterModel *m = c->s.m;
  int status = choose_entry(c, words, next);
  if (status) return status;
  c->e = &model_entries(m)[c->index];
  c->in = mem_alloc(sizeof *c->in * (c->e->inputs.n + 1));
  c->out = mem_alloc(sizeof *c->out * (c->e->outputs.n + 1));
  c->dims = mem_alloc(16 * ((size_t)m->dims.n + 1));
  c->most = c->dims + m->dims.n;
  c->in_record = mem_alloc(c->e->in_bytes + 8u);
  c->out_record = mem_alloc(c->e->out_bytes + 8u);
  for (uint32_t i = 0; i < m->dims.n; i++) c->dims[i] = DIM_UNKNOWN;
  return CLI_DONE;
}

void call_end(Call *c) {
  for (uint32_t i = 0; c->e && i < c->e->inputs.n; i++) npy_free(&c->in[i]);
  for (uint32_t i = 0; c->e && i < c->e->outputs.n; i++) npy_free(&c->out[i]);
  free(c->in), free(c->out), free(c->dims), free(c->in_record), free(c->out_record);
}

static int unknown_name(Call *c, const char *name) {
  const SinterModel *m = c->s.m;
  const SinterPort *p = SINTER_LIST(SinterPort, m, c->e->inputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  const char **names = mem_alloc(sizeof *names * (c->e->inputs.n + c->e->dims.n + 1));
  Buf list = {0};
  size_t n = 0;
  for (uint32_t i = 0; i < c->e->inputs.n; i++) names[n++] = port_name(m, &p[i], (int)i);
  for (uint32_t i = 0; i < c->e->dims.n; i++)
    names[n++] = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]);
  for (size_t i = 0; i < n; i++) buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
  const char *near = str_nearest(name, names, n);
  if (near)
    cli_fail("%s has no input or dimension \"%s\"; did you mean %s?", sinter_text(m, c->e->name), name, near);
  else
    cli_fail("%s has no input or dimension \"%s\": it has %s", sinter_text(m, c->e->name), name, n ? list.at : "none");
  buf_free(&list);
  free(names);
  return CLI_FAILED;
}

int call_word(Call *c, const char *word) {
  const SinterModel *m = c->s.m;
  char *name;
  const char *text;
  if (!split_word(word, &name, &text)) return cli_usage("\"%s\" is not of the form NAME=FILE.npy or DIM=NUMBER", word);
  int status = CLI_DONE, port = port_find(m, c->e, name), dim = -1;
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  for (uint32_t i = 0; i < c->e->dims.n && port < 0; i++)
    if (strcmp(sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]), name) == 0) dim = (int)d[i].index;
  if (port >= 0) {
    if (c->in[port].data)
      status = cli_usage("%s is given twice", name);
    else
      status = array_for_port(&c->s, SINTER_LIST(SinterPort, m, c->e->inputs) + port, name, text, &c->in[port]);
  } else if (dim >= 0) {
    if (!cli_int(text, 0, INT64_MAX, &c->dims[dim]))
      status = cli_fail("%s is \"%s\": a number is expected, as it is a dimension", name, text);
  } else {
    status = unknown_name(c, name);
  }
  free(name);
  return status;
}

/* What the context is made for: the dimensions of this call, and of other entries as little as they allow. */
void call_most(Call *c) {
  const SinterModel *m = c->s.m;
  for (uint32_t i = 0; i < m->dims.n; i++) c->most[i] = INT64_MAX;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterDim *d = SINTER_LIST(SinterDim, m, model_entries(m)[i].dims);
    for (uint32_t k = 0; k < model_entries(m)[i].dims.n; k++)
      if (d[k].lo < c->most[d[k].index]) c->most[d[k].index] = d[k].lo;
  }
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  for (uint32_t i = 0; i < c->e->dims.n;
       i++) { /* a value out of bounds is left to the call, whose sentence names the entry */
    int64_t v = c->dims[d[i].index];
    c->most[d[i].index] = v < d[i].lo ? d[i].lo : v > d[i].hi ? d[i].lo : v;
  }
}

int call_records(Call *c) {
  const SinterModel *m = c->s.m;
  const SinterPort *in = SINTER_LIST(SinterPort, m, c->e->inputs), *out = SINTER_LIST(SinterPort, m, c->e->outputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  for (uint32_t i = 0; i < c->e->inputs.n; i++) memcpy(c->in_record + in[i].field, &c->in[i].data, sizeof(void *));
  for (uint32_t i = 0; i < c->e->dims.n; i++) memcpy(c->in_record + d[i].field, &c->dims[d[i].index], 8);
  for (uint32_t i = 0; i < c->e->outputs.n; i++) {
    NpyArray *a = &c->out[i];
    int64_t bytes;
    a->dtype = out[i].dtype, a->rank = out[i].rank;
    if (port_bytes(&c->s, c->e, &out[i], c->dims, a->dim, &bytes)) return CLI_FAILED;
    a->data = bytes < INT64_MAX / 2 ? aligned_alloc(64, ((size_t)bytes + 127) & ~(size_t)63) : NULL;
    if (!a->data)
      return cli_fail("no memory for the result %s (%lld bytes)", port_name(m, &out[i], (int)i), (long long)bytes);
    memcpy(c->out_record + out[i].field, &a->data, sizeof(void *));
  }
  return CLI_DONE;
}
