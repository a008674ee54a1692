#include "call.h"
#include "os.h"
#include "rt.h"

static int choose_entry(Call *c, const Words *rest, int *next) {
  const SinterModel *m = c->s.m;
  if (*next < rest->n && !text_find(rest->at[*next], '=')) {
    int found = model_entry(&c->s, rest->at[(*next)++]);
    c->index = (uint32_t)found;
    return found < 0 ? CLI_FAILED : CLI_DONE;
  }
  Text names = {0};
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    if (model_entries(m)[i].flags & SINTER_ENTRY_HIDDEN) continue;
    c->index = i;
    text_printf(&names, "%s%s", n++ ? ", " : "", sinter_text(m, model_entries(m)[i].name));
  }
  if (n != 1)
    cli_fail("%s has %s: name one of its entries: %s", c->s.path, n ? "several entries" : "no entry",
             n ? names.at : "none");
  text_free(&names);
  return n == 1 ? CLI_DONE : CLI_FAILED;
}

int call_begin(Call *c, const Words *words, int *next) {
  const SinterModel *m = c->s.m;
  int status = choose_entry(c, words, next);
  if (status) return status;
  c->e = &model_entries(m)[c->index];
  c->in = cli_alloc(sizeof *c->in * (c->e->inputs.n + 1));
  c->out = cli_alloc(sizeof *c->out * (c->e->outputs.n + 1));
  c->raw = cli_alloc(sizeof *c->raw * (c->e->inputs.n + 1));
  c->dims = cli_alloc(16 * ((size_t)m->dims.n + 1));
  c->most = c->dims + m->dims.n;
  c->in_record = cli_alloc(c->e->in_bytes + 8u);
  c->out_record = cli_alloc(c->e->out_bytes + 8u);
  for (uint32_t i = 0; i < m->dims.n; i++) c->dims[i] = DIM_UNKNOWN;
  return CLI_DONE;
}

void call_end(Call *c) {
  for (uint32_t i = 0; c->e && i < c->e->inputs.n; i++) npy_free(&c->in[i]);
  for (uint32_t i = 0; c->e && i < c->e->outputs.n; i++) npy_free(&c->out[i]);
  void *const blocks[] = {c->in, c->out, c->raw, c->dims, c->in_record, c->out_record};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) os_free(blocks[i]);
}

static int unknown_name(Call *c, const char *name) {
  const SinterModel *m = c->s.m;
  const SinterPort *p = SINTER_LIST(SinterPort, m, c->e->inputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  const char **names = cli_alloc(sizeof *names * (c->e->inputs.n + c->e->dims.n + 1));
  Text list = {0};
  size_t n = 0;
  for (uint32_t i = 0; i < c->e->inputs.n; i++) names[n++] = port_name(m, &p[i], (int)i);
  for (uint32_t i = 0; i < c->e->dims.n; i++)
    names[n++] = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]);
  for (size_t i = 0; i < n; i++) text_printf(&list, "%s%s", i ? ", " : "", names[i]);
  const char *near = text_nearest(name, names, n);
  if (near)
    cli_fail("%s has no input or dimension \"%s\"; did you mean %s?", sinter_text(m, c->e->name), name, near);
  else
    cli_fail("%s has no input or dimension \"%s\": it has %s", sinter_text(m, c->e->name), name, n ? list.at : "none");
  text_free(&list);
  os_free(names);
  return CLI_FAILED;
}

static bool is_raw(const Call *c, const char *text) {
  size_t n = text_length(text);
  return rt_equal(text, "-") ? c->raw_streams : n > 4 && rt_equal(text + n - 4, ".raw");
}

static int take_input(Call *c, int port, const char *name, const char *text) {
  if (c->in[port].data || c->raw[port]) return cli_usage("%s is given twice", name);
  if (rt_equal(text, "-")) {
    if (c->input_taken) return cli_usage("%s=-: the standard input was read for another input already", name);
    c->input_taken = true;
  }
  if (is_raw(c, text)) return c->raw[port] = text, CLI_DONE;
  return array_for_port(&c->s, SINTER_LIST(SinterPort, c->s.m, c->e->inputs) + port, name, text, &c->in[port]);
}

int call_word(Call *c, const char *word) {
  const SinterModel *m = c->s.m;
  char *name;
  const char *text;
  if (!split_word(word, &name, &text)) return cli_usage("\"%s\" is not of the form NAME=FILE.npy or DIM=NUMBER", word);
  int status = CLI_DONE, port = port_find(m, c->e, name), dim = -1;
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  for (uint32_t i = 0; i < c->e->dims.n && port < 0; i++)
    if (rt_equal(sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]), name)) dim = (int)d[i].index;
  if (port >= 0) {
    status = take_input(c, port, name, text);
  } else if (dim >= 0) {
    if (!number_read_int(text, 0, INT64_MAX, &c->dims[dim]))
      status = cli_fail("%s is \"%s\": a number is expected, as it is a dimension", name, text);
  } else {
    status = unknown_name(c, name);
  }
  os_free(name);
  return status;
}

int call_settle(Call *c) {
  const SinterModel *m = c->s.m;
  const SinterPort *p = SINTER_LIST(SinterPort, m, c->e->inputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  const NpyArray **arrays = cli_alloc(sizeof *arrays * (c->e->inputs.n + 1));
  int status = CLI_DONE;
  for (uint32_t i = 0; i < c->e->inputs.n && !status; i++) {
    const char *name = port_name(m, &p[i], (int)i);
    arrays[i] = c->raw[i] ? NULL : &c->in[i];
    if (c->in[i].data || c->raw[i]) continue;
    Text type = {0};
    port_type(&type, m, &p[i]);
    status = cli_fail("%s takes an input %s: %s; add %s=FILE.npy%s", sinter_text(m, c->e->name), name, type.at, name,
                      p[i].rank ? "" : " or a number");
    text_free(&type);
  }
  if (!status) status = shapes_fit(&c->s, c->e, arrays, -1, c->dims);
  for (uint32_t i = 0; i < c->e->inputs.n && !status; i++) {
    if (!c->raw[i]) continue;
    status = raw_for_port(&c->s, &p[i], port_name(m, &p[i], (int)i), c->raw[i], c->dims, &c->in[i]);
    arrays[i] = &c->in[i];
    if (!status) status = shapes_fit(&c->s, c->e, arrays, -1, c->dims);
  }
  os_free(arrays);
  for (uint32_t i = 0; i < c->e->dims.n && !status; i++) {
    const char *name = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]);
    if (c->dims[d[i].index] == DIM_UNKNOWN)
      status =
          cli_fail("%s has a dimension %s that no input gives; add %s=NUMBER", sinter_text(m, c->e->name), name, name);
  }
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
    a->data = os_alloc((size_t)bytes);
    if (!a->data)
      return cli_fail("no memory for the result %s (%lld bytes)", port_name(m, &out[i], (int)i), (long long)bytes);
    memcpy(c->out_record + out[i].field, &a->data, sizeof(void *));
  }
  return CLI_DONE;
}
