#include "cli_call.h"
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

static int settle_shapes(Call *r) {
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
      status = cli_fail("%s takes an input %s: %s; add %s=FILE.npy%s", sinter_text(m, r->e->name), name, type.at, name,
                        p[i].rank ? "" : " or a number");
      buf_free(&type);
    }
  }
  if (!status) status = shapes_fit(&r->s, r->e, arrays, -1, r->dims);
  free(arrays);
  for (uint32_t i = 0; i < r->e->dims.n && !status; i++) {
    const char *name = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]);
    if (r->dims[d[i].index] == DIM_UNKNOWN)
      status =
          cli_fail("%s has a dimension %s that no input gives; add %s=NUMBER", sinter_text(m, r->e->name), name, name);
  }
  return status;
}

static int call(Call *r) {
  int status = call_records(r);
  if (status) return status;
  if (r->s.api->call(r->s.c, r->index, r->in_record, r->out_record)) return cli_fail("%s", r->s.api->message(r->s.c));
  return CLI_DONE;
}

static int deliver(Call *r, const char *folder) {
  const SinterModel *m = r->s.m;
  const SinterPort *in = SINTER_LIST(SinterPort, m, r->e->inputs), *out = SINTER_LIST(SinterPort, m, r->e->outputs);
  char why[SINTER_WHY];
  int status = CLI_DONE;
  uint32_t n = r->e->outputs.n + r->e->inputs.n, done = 0;
  if (folder && mkdir(folder, 0777) && errno != EEXIST)
    return cli_fail("cannot make the folder %s: %s", folder, strerror(errno));
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

static int run_entry(Call *r, const Words *rest, const char *weights, const char *init, const char *threads,
                     const char *out) {
  int64_t seed = 0;
  int next = 1, status = call_begin(r, rest, &next);
  if (status) return status;
  if (init && !cli_int(init, 0, INT64_MAX, &seed))
    return cli_usage("--init is \"%s\": a seed, a number, is expected", init);
  if (model_has_params(r->s.m) && !weights && !init)
    return cli_fail("%s has parameters: give --weights FILE, or --init SEED for start values", r->s.path);
  for (; next < rest->n && !status; next++) status = call_word(r, rest->at[next]);
  if (!status) status = settle_shapes(r);
  if (!status) status = artefact_weights(&r->s, weights, (uint64_t)seed);
  if (!status) call_most(r), status = artefact_context(&r->s, r->most, threads);
  if (!status) status = call(r);
  if (!status) status = deliver(r, out);
  return status;
}

static int run(int argc, char **argv) {
  const char *weights = NULL, *init = NULL, *threads = NULL, *out = NULL;
  Words rest = {mem_alloc(sizeof(char *) * (size_t)argc), 0};
  const Option options[] = {{"--weights", &weights, NULL, NULL},
                            {"--init", &init, NULL, NULL},
                            {"--threads", &threads, NULL, NULL},
                            {"--out", &out, NULL, NULL}};
  int status = cli_options(argc, argv, options, 4, &rest);
  if (!status && rest.n == 0) status = cli_usage("run wants an artefact");
  if (!status && weights && init) status = cli_usage("--weights and --init exclude each other");
  if (!status) {
    Call r = {0};
    status = artefact_open(&r.s, rest.at[0]);
    if (!status) status = run_entry(&r, &rest, weights, init, threads, out);
    call_end(&r);
    artefact_close(&r.s);
  }
  free(rest.at);
  return status;
}

const Command command_run = {"run", "calls an entry of an artefact on .npy files", run, HELP};
