#include "call.h"
#include "os.h"
#include "rt.h"

typedef struct RunOptions {
  const char *weights, *init, *threads, *device, *out, *result;
  bool raw;
} RunOptions;

static int call(Call *c) {
  int status = call_records(c);
  if (status) return status;
  if (c->s.api->call(c->s.c, c->index, c->in_record, c->out_record)) return cli_fail("%s", c->s.api->message(c->s.c));
  return CLI_DONE;
}

typedef struct Result {
  const SinterPort *port;
  const NpyArray *array;
  const char *name;
} Result;

/* Results in order, then the inputs that the entry changes. */
static uint32_t list_results(const Call *c, Result *r) {
  const SinterModel *m = c->s.m;
  const SinterPort *in = SINTER_LIST(SinterPort, m, c->e->inputs), *out = SINTER_LIST(SinterPort, m, c->e->outputs);
  uint32_t n = 0;
  for (uint32_t i = 0; i < c->e->outputs.n; i++) r[n++] = (Result){&out[i], &c->out[i], port_name(m, &out[i], (int)i)};
  for (uint32_t i = 0; i < c->e->inputs.n; i++)
    if (in[i].inout) r[n++] = (Result){&in[i], &c->in[i], port_name(m, &in[i], (int)i)};
  return n;
}

static int choose_result(const Call *c, const char *name, Result *r, uint32_t *n) {
  const char **names = cli_alloc(sizeof *names * (*n + 1));
  Text list = {0};
  uint32_t found = *n;
  for (uint32_t i = 0; i < *n; i++) {
    names[i] = r[i].name;
    text_printf(&list, "%s%s", i ? ", " : "", names[i]);
    if (rt_equal(names[i], name)) found = i;
  }
  const char *entry = sinter_text(c->s.m, c->e->name), *near = text_nearest(name, names, *n);
  int status = CLI_DONE;
  if (found < *n)
    r[0] = r[found], *n = 1;
  else if (near)
    status = cli_fail("%s has no result \"%s\"; did you mean %s?", entry, name, near);
  else
    status = cli_fail("%s has no result \"%s\": it has %s", entry, name, *n ? list.at : "none");
  text_free(&list);
  os_free(names);
  return status;
}

static size_t array_bytes(const NpyArray *a) {
  size_t n = sinter_dtype_size(a->dtype);
  for (uint32_t i = 0; i < a->rank; i++) n *= (size_t)a->dim[i];
  return n;
}

static int write_stream(const Result *r, bool raw) {
  char head[NPY_HEAD];
  const NpyArray *a = r->array;
  size_t n = raw ? 0 : npy_head(head, a->dtype, a->rank, a->dim);
  int e = n ? os_write(OS_OUTPUT, head, n) : 0;
  if (!e) e = os_write(OS_OUTPUT, a->data, array_bytes(a));
  return e ? cli_fail("cannot write to the standard output: %s", rt_error(e)) : CLI_DONE;
}

static int write_file(const Result *r, const char *path, bool raw) {
  char why[SINTER_WHY];
  const NpyArray *a = r->array;
  if (!raw) return npy_write(path, a->dtype, a->rank, a->dim, a->data, why) ? CLI_DONE : cli_fail("%s", why);
  SysPart part = {a->data, array_bytes(a)};
  int e = sys_write_file(path, &part, 1);
  return e ? cli_fail("cannot write %s: %s", path, rt_error(e)) : CLI_DONE;
}

static int write_files(const Result *r, uint32_t n, const char *folder, bool raw) {
  int e = os_make_folder(folder), status = CLI_DONE;
  if (e) return cli_fail("cannot make the folder %s: %s", folder, rt_error(e));
  Text *path = cli_alloc(sizeof *path * (n + 1));
  uint32_t done = 0;
  for (; done < n && !status; done++) {
    text_printf(&path[done], "%s/%s.%s", folder, r[done].name, raw ? "raw" : "npy");
    status = path[done].lost ? cli_fail("no memory") : write_file(&r[done], path[done].at, raw);
  }
  for (uint32_t i = 0; i < done; i++) {
    if (status && i + 1 < done) os_remove_file(path[i].at); /* no output file on failure */
    text_free(&path[i]);
  }
  os_free(path);
  return status;
}

static int print(const Call *c, const Result *r) {
  Text text = {0};
  const NpyArray *a = r->array;
  text_printf(&text, "%s: ", r->port->name ? r->name : sinter_text(c->s.m, c->e->name));
  array_type(&text, a, a->dim);
  text_put(&text, a->rank ? "\n" : " ");
  array_print(&text, a->dtype, a->rank, a->dim, a->data);
  int status = cli_print(&text);
  text_free(&text);
  return status;
}

static int run_entry(Call *c, const Words *rest, int next, const RunOptions *o) {
  int64_t seed = 0;
  int status = call_begin(c, rest, &next);
  if (status) return status;
  c->raw_streams = o->raw;
  if (o->init && !number_read_int(o->init, 0, INT64_MAX, &seed))
    return cli_usage("--init is \"%s\": a seed, a number, is expected", o->init);
  bool own = !o->weights && !o->init;
  if (own && model_has_params(c->s.m) && !c->s.open_embedded)
    return cli_fail("%s has parameters: give --weights FILE, or --init SEED for start values", c->s.path);
  Result *r = cli_alloc(sizeof *r * ((size_t)c->e->outputs.n + c->e->inputs.n + 1));
  uint32_t n = list_results(c, r);
  if (o->result) status = choose_result(c, o->result, r, &n);
  for (; next < rest->n && !status; next++) status = call_word(c, rest->at[next]);
  if (!status && o->raw && !o->out && !c->input_taken) status = cli_usage("--raw goes with --out or with NAME=-");
  if (!status) status = call_settle(c);
  if (!status) status = artefact_weights(&c->s, o->weights, (uint64_t)seed, own);
  if (!status) status = artefact_device(&c->s, o->device);
  if (!status) call_most(c), status = artefact_context(&c->s, c->most, o->threads);
  if (!status) status = call(c);
  bool stream = o->out && rt_equal(o->out, "-");
  if (!status && o->out && !stream) status = write_files(r, n, o->out, o->raw);
  for (uint32_t i = 0; i < n && !status && (!o->out || stream); i++)
    status = stream ? write_stream(&r[i], o->raw) : print(c, &r[i]);
  os_free(r);
  return status;
}

int run_command(int argc, char **argv) {
  RunOptions o = {0};
  Words rest = {cli_alloc(sizeof(char *) * ((size_t)argc + 1)), 0};
  const Option options[] = {{"--weights", &o.weights, NULL, NULL}, {"--init", &o.init, NULL, NULL},
                            {"--threads", &o.threads, NULL, NULL}, {"--device", &o.device, NULL, NULL},
                            {"--out", &o.out, NULL, NULL},         {"--result", &o.result, NULL, NULL},
                            {"--raw", NULL, &o.raw, NULL}};
  Call c = {0};
  int next = 0, status = cli_options(argc, argv, options, sizeof options / sizeof *options, &rest);
  if (!status && o.weights && o.init) status = cli_usage("--weights and --init exclude each other");
  device_chosen(o.device);
  if (!status) {
    status = artefact_begin(&c.s, &rest, &next);
    if (!status) status = run_entry(&c, &rest, next, &o);
    call_end(&c);
    artefact_end(&c.s);
  }
  os_free(rest.at);
  return status;
}
