#include "cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char HELP[] =
    "usage: sinter run ARTEFACT [ENTRY] NAME=FILE.npy ... [DIM=NUMBER ...]\n"
    "                  [--weights FILE | --init SEED] [--threads N] [--out DIR]\n"
    "\n"
    "Calls an entry once and prints its results. ENTRY may be left out when there is one.\n"
    "  NAME=FILE.npy   an input, by name or by position (0=FILE.npy); a number for one of rank 0 (lr=0.1).\n"
    "                  Other float types, and integers that fit, are converted with a note.\n"
    "  DIM=NUMBER      a dimension that no input has\n"
    "  --weights FILE  parameters and states from a safetensors file\n"
    "  --init SEED     start values drawn from the seed, a number\n"
    "  --threads N     at most N threads (default: SINTER_THREADS, or the processors there are)\n"
    "  --out DIR       writes the results to DIR/NAME.npy (one without a name: DIR/0.npy) and prints none\n";

typedef struct Run {
  Session s;
  const SinterEntry *e;
  uint32_t index;
  NpyArray *in, *out;       /* by port */
  int64_t *dims, *most;
  char *in_record, *out_record;
} Run;

static int choose_entry(Run *r, const Words *rest, int *next) {
  const SinterModel *m = r->s.m;
  if (*next < rest->n && !strchr(rest->at[*next], '=')) {
    int found = model_entry(&r->s, rest->at[(*next)++]);
    r->index = (uint32_t)found;
    return found < 0 ? CLI_FAILED : CLI_DONE;
  }
  Buf names = {0};
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    if (model_entries(m)[i].flags & SINTER_ENTRY_HIDDEN) continue;
    r->index = i;
    buf_printf(&names, "%s%s", n++ ? ", " : "", sinter_text(m, model_entries(m)[i].name));
  }
  if (n != 1) cli_fail("%s has %s: name one of its entries: %s", r->s.path, n ? "several entries" : "no entry", n ? names.at : "none");
  buf_free(&names);
  return n == 1 ? CLI_DONE : CLI_FAILED;
}

static int unknown_name(Run *r, const char *name) {
  const SinterModel *m = r->s.m;
  const SinterPort *p = SINTER_LIST(SinterPort, m, r->e->inputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, r->e->dims);
  const char **names = mem_alloc(sizeof *names * (r->e->inputs.n + r->e->dims.n + 1));
  Buf list = {0};
  size_t n = 0;
  for (uint32_t i = 0; i < r->e->inputs.n; i++) names[n++] = port_name(m, &p[i], (int)i);
  for (uint32_t i = 0; i < r->e->dims.n; i++) names[n++] = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]);
  for (size_t i = 0; i < n; i++) buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
  const char *near = str_nearest(name, names, n);
  if (near) cli_fail("%s has no input or dimension \"%s\"; did you mean %s?", sinter_text(m, r->e->name), name, near);
  else cli_fail("%s has no input or dimension \"%s\": it has %s", sinter_text(m, r->e->name), name, n ? list.at : "none");
  buf_free(&list);
  free(names);
  return CLI_FAILED;
}

static int take_word(Run *r, const char *word) {
  const SinterModel *m = r->s.m;
  char *name;
  const char *text;
  if (!split_word(word, &name, &text)) return cli_usage("\"%s\" is not of the form NAME=FILE.npy or DIM=NUMBER", word);
  int status = CLI_DONE, port = port_find(m, r->e, name), dim = -1;
  const SinterDim *d = SINTER_LIST(SinterDim, m, r->e->dims);
  for (uint32_t i = 0; i < r->e->dims.n && port < 0; i++)
    if (strcmp(sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]), name) == 0) dim = (int)d[i].index;
  if (port >= 0) {
    if (r->in[port].data) status = cli_usage("%s is given twice", name);
    else status = array_for_port(&r->s, SINTER_LIST(SinterPort, m, r->e->inputs) + port, name, text, &r->in[port]);
  } else if (dim >= 0) {
    if (!cli_int(text, 0, INT64_MAX, &r->dims[dim])) status = cli_fail("%s is \"%s\": a number is expected, as it is a dimension", name, text);
  } else {
    status = unknown_name(r, name);
  }
  free(name);
  return status;
}

static int settle_shapes(Run *r) {
  const SinterModel *m = r->s.m;
  const SinterPort *p = SINTER_LIST(SinterPort, m, r->e->inputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, r->e->dims);
  const NpyArray **arrays = mem_alloc(sizeof *arrays * (r->e->inputs.n + 1));
  int status = CLI_DONE;
  for (uint32_t i = 0; i < r->e->inputs.n && !status; i++) {
    arrays[i] = &r->in[i];
    if (!r->in[i].data) {
      Buf type = {0};
      port_type(&type, m, &p[i]);
      const char *name = port_name(m, &p[i], (int)i);
      status = cli_fail("%s takes an input %s: %s; add %s=FILE.npy%s", sinter_text(m, r->e->name), name, type.at, name, p[i].rank ? "" : " or a number");
      buf_free(&type);
    }
  }
  if (!status) status = shapes_fit(&r->s, r->e, arrays, -1, r->dims);
  free(arrays);
  for (uint32_t i = 0; i < r->e->dims.n && !status; i++) {
    const char *name = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]);
    if (r->dims[d[i].index] == DIM_UNKNOWN) status = cli_fail("%s has a dimension %s that no input gives; add %s=NUMBER", sinter_text(m, r->e->name), name, name);
  }
  return status;
}

/* What the context is made for: the dimensions of this call, and of other entries as little as they allow. */
static void settle_most(Run *r) {
  const SinterModel *m = r->s.m;
  for (uint32_t i = 0; i < m->dims.n; i++) r->most[i] = INT64_MAX;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterDim *d = SINTER_LIST(SinterDim, m, model_entries(m)[i].dims);
    for (uint32_t k = 0; k < model_entries(m)[i].dims.n; k++)
      if (d[k].lo < r->most[d[k].index]) r->most[d[k].index] = d[k].lo;
  }
  const SinterDim *d = SINTER_LIST(SinterDim, m, r->e->dims);
  for (uint32_t i = 0; i < r->e->dims.n; i++) { /* a value out of bounds is left to the call, whose sentence names the entry */
    int64_t v = r->dims[d[i].index];
    r->most[d[i].index] = v < d[i].lo ? d[i].lo : v > d[i].hi ? d[i].lo : v;
  }
}

static int call(Run *r) {
  const SinterModel *m = r->s.m;
  const SinterPort *in = SINTER_LIST(SinterPort, m, r->e->inputs), *out = SINTER_LIST(SinterPort, m, r->e->outputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, r->e->dims);
  for (uint32_t i = 0; i < r->e->inputs.n; i++) memcpy(r->in_record + in[i].field, &r->in[i].data, sizeof(void *));
  for (uint32_t i = 0; i < r->e->dims.n; i++) memcpy(r->in_record + d[i].field, &r->dims[d[i].index], 8);
  for (uint32_t i = 0; i < r->e->outputs.n; i++) {
    NpyArray *a = &r->out[i];
    int64_t bytes;
    a->dtype = out[i].dtype, a->rank = out[i].rank;
    if (port_bytes(&r->s, r->e, &out[i], r->dims, a->dim, &bytes)) return CLI_FAILED;
    a->data = bytes < INT64_MAX / 2 ? aligned_alloc(64, ((size_t)bytes + 127) & ~(size_t)63) : NULL;
    if (!a->data) return cli_fail("no memory for the result %s (%lld bytes)", port_name(m, &out[i], (int)i), (long long)bytes);
    memcpy(r->out_record + out[i].field, &a->data, sizeof(void *));
  }
  if (r->s.api->call(r->s.c, r->index, r->in_record, r->out_record)) return cli_fail("%s", r->s.api->message(r->s.c));
  return CLI_DONE;
}

static int deliver(Run *r, const char *folder) {
  const SinterModel *m = r->s.m;
  const SinterPort *in = SINTER_LIST(SinterPort, m, r->e->inputs), *out = SINTER_LIST(SinterPort, m, r->e->outputs);
  char why[SINTER_WHY];
  int status = CLI_DONE;
  uint32_t n = r->e->outputs.n + r->e->inputs.n, done = 0;
  if (folder && mkdir(folder, 0777) && errno != EEXIST) return cli_fail("cannot make the folder %s: %s", folder, strerror(errno));
  for (uint32_t i = 0; i < n && !status; i++, done++) {
    bool result = i < r->e->outputs.n;
    uint32_t k = result ? i : i - r->e->outputs.n;
    if (!result && !in[k].inout) continue;
    const SinterPort *p = result ? &out[k] : &in[k];
    const NpyArray *a = result ? &r->out[k] : &r->in[k];
    Buf text = {0};
    if (folder) {
      buf_printf(&text, "%s/%s.npy", folder, port_name(m, p, (int)k));
      if (!npy_write(text.at, a->dtype, a->rank, a->dim, a->data, why)) status = cli_fail("%s", why);
    } else {
      buf_printf(&text, "%s: ", p->name ? sinter_text(m, p->name) : sinter_text(m, r->e->name));
      array_type(&text, a, a->dim);
      buf_put(&text, a->rank ? "\n" : " ");
      array_print(&text, a->dtype, a->rank, a->dim, a->data);
      fputs(text.at, stdout);
    }
    buf_free(&text);
  }
  for (uint32_t i = 0; status && folder && i + 1 < done && i < r->e->outputs.n; i++) { /* no output file on failure */
    Buf text = {0};
    buf_printf(&text, "%s/%s.npy", folder, port_name(m, &out[i], (int)i));
    unlink(text.at);
    buf_free(&text);
  }
  return status;
}

static int run_entry(Run *r, const Words *rest, const char *weights, const char *init, const char *threads, const char *out) {
  const SinterModel *m = r->s.m;
  int64_t seed = 0;
  int next = 1, status = choose_entry(r, rest, &next);
  if (status) return status;
  if (init && !cli_int(init, 0, INT64_MAX, &seed)) return cli_usage("--init is \"%s\": a seed, a number, is expected", init);
  if (model_has_params(m) && !weights && !init) return cli_fail("%s has parameters: give --weights FILE, or --init SEED for start values", r->s.path);
  r->e = &model_entries(m)[r->index];
  r->in = mem_alloc(sizeof *r->in * (r->e->inputs.n + 1));
  r->out = mem_alloc(sizeof *r->out * (r->e->outputs.n + 1));
  r->dims = mem_alloc(16 * ((size_t)m->dims.n + 1));
  r->most = r->dims + m->dims.n;
  r->in_record = mem_alloc(r->e->in_bytes + 8u);
  r->out_record = mem_alloc(r->e->out_bytes + 8u);
  for (uint32_t i = 0; i < m->dims.n; i++) r->dims[i] = DIM_UNKNOWN;
  for (; next < rest->n && !status; next++) status = take_word(r, rest->at[next]);
  if (!status) status = settle_shapes(r);
  if (!status) status = session_weights(&r->s, weights, (uint64_t)seed);
  if (!status) settle_most(r), status = session_context(&r->s, r->most, threads);
  if (!status) status = call(r);
  if (!status) status = deliver(r, out);
  for (uint32_t i = 0; i < r->e->inputs.n; i++) npy_free(&r->in[i]);
  for (uint32_t i = 0; i < r->e->outputs.n; i++) npy_free(&r->out[i]);
  free(r->in), free(r->out), free(r->dims), free(r->in_record), free(r->out_record);
  return status;
}

static int run(int argc, char **argv) {
  const char *weights = NULL, *init = NULL, *threads = NULL, *out = NULL;
  Words rest = {mem_alloc(sizeof(char *) * (size_t)argc), 0};
  const Option options[] = {{"--weights", &weights, NULL, NULL}, {"--init", &init, NULL, NULL}, {"--threads", &threads, NULL, NULL}, {"--out", &out, NULL, NULL}};
  int status = cli_options(argc, argv, options, 4, &rest);
  if (!status && rest.n == 0) status = cli_usage("run wants an artefact");
  if (!status && weights && init) status = cli_usage("--weights and --init exclude each other");
  if (!status) {
    Run r = {0};
    status = session_open(&r.s, rest.at[0]);
    if (!status) status = run_entry(&r, &rest, weights, init, threads, out);
    session_close(&r.s);
  }
  free(rest.at);
  return status;
}

const Command command_run = {"run", "calls an entry of an artefact on .npy files", run, HELP};
