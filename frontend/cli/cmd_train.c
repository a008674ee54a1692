#include "cli.h"
#include "os.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char HELP[] =
    "usage: sinter train ARTEFACT --data NAME=FILE.npy ... --save FILE [--epochs N] [--batch N]\n"
    "                    [--holdout FRACTION | --eval NAME=FILE.npy ...] [--seed N] [--lr X]\n"
    "                    [--weights FILE] [--step ENTRY] [--threads N] [--device D]\n"
    "\n"
    "Trains by calling the entry marked `train` on batches of rows, shuffled anew in each epoch, and writes the\n"
    "parameters and states to a safetensors file. An entry `evaluate` with results of rank 0 (loss, accuracy) then "
    "runs\n"
    "on the rows held out.\n"
    "  --data NAME=FILE.npy ...  the inputs of the entry by name; axis 0 counts the rows. A number for one of rank 0\n"
    "  --save FILE        where to; written when all is done, and about every minute before\n"
    "  --epochs N         times over all rows (default 10)\n"
    "  --batch N          rows a step (default 64); the last batch is smaller\n"
    "  --holdout F        keeps this fraction of the rows, drawn by the seed, for evaluation (default 0.2 if there is "
    "an\n"
    "                     entry `evaluate` and no --eval, else 0)\n"
    "  --eval NAME=FILE.npy ...  evaluates on these rows instead\n"
    "  --seed N           of start values, shuffling and random numbers (default 1)\n"
    "  --lr X             the input `lr` of the entry\n"
    "  --weights FILE     begins with these instead of start values\n"
    "  --step ENTRY       trains by this entry\n"
    "  --threads N        at most N threads (default: SINTER_THREADS, or the processors there are)\n"
    "  --device D         where it runs: cpu, or cuda or cuda:N if it was compiled with --gpu (default: SINTER_DEVICE, "
    "or "
    "cpu)\n";

enum { SAVE_SECONDS = 60, HELD_OUT_SHUFFLE = 0x7fffffff };

/* An entry with the data for its inputs and room for one batch. */
typedef struct Feed {
  const SinterEntry *e;
  uint32_t index;
  NpyArray *data; /* by input; rank 0: given to every call; no data: does not have it */
  void **batch;   /* by input of rank > 0: rows of this batch */
  char *in_record, *out_record;
  double *out;   /* by output: room for its one element */
  int64_t rows;  /* of the data */
  int64_t *dims; /* as SinterModel.dims, for a full batch */
  int batch_dim;
  double *total;   /* by output: sum over rows */
  int64_t counted; /* rows in the sums */
  bool dropped;    /* it has been said that a last batch is left out */
} Feed;

typedef struct Train {
  Artefact s;
  const char *save;
  int64_t epochs, batch, seed;
  Feed step, eval;
  bool has_eval, own_eval; /* own_eval: its data are not the step's */
  uint32_t *order, *held;  /* rows of the step's data: to train on; held out */
  int64_t n_train, n_held;
  bool live; /* the progress line is rewritten */
} Train;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- order of rows ---- */

/* Philox 4x32-10 of (seed; place, epoch): element `at`. */
static uint32_t philox(uint64_t seed, uint32_t epoch, uint64_t at) {
  uint32_t c[4] = {(uint32_t)(at / 4), (uint32_t)(at / 4 >> 32), epoch, 0},
           k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (int i = 0; i < 10; i++) {
    uint64_t p = 0xd2511f53ull * c[0], q = 0xcd9e8d57ull * c[2];
    uint32_t next[4] = {(uint32_t)(q >> 32) ^ c[1] ^ k[0], (uint32_t)q, (uint32_t)(p >> 32) ^ c[3] ^ k[1], (uint32_t)p};
    memcpy(c, next, sizeof c);
    k[0] += 0x9e3779b9, k[1] += 0xbb67ae85;
  }
  return c[at % 4];
}

static void shuffle(uint32_t *row, int64_t n, uint64_t seed, uint32_t epoch) {
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t k = (int64_t)((uint64_t)philox(seed, epoch, (uint64_t)i) * (uint64_t)(i + 1) >> 32);
    uint32_t x = row[i];
    row[i] = row[k], row[k] = x;
  }
}

/* ---- feeds ---- */

static void feed_init(Feed *f, const SinterModel *m, uint32_t index) {
  f->e = &model_entries(m)[index];
  f->index = index;
  f->data = mem_alloc(sizeof *f->data * (f->e->inputs.n + 1));
  f->batch = mem_alloc(sizeof *f->batch * (f->e->inputs.n + 1));
  f->out = mem_alloc(16 * ((size_t)f->e->outputs.n + 1));
  f->total = f->out + f->e->outputs.n;
  f->in_record = mem_alloc(f->e->in_bytes + 8u);
  f->out_record = mem_alloc(f->e->out_bytes + 8u);
  f->dims = mem_alloc(8 * ((size_t)m->dims.n + 1));
  for (uint32_t i = 0; i < m->dims.n; i++) f->dims[i] = DIM_UNKNOWN;
  f->batch_dim = -1;
  f->rows = -1;
}

static void feed_free(Feed *f, bool data) {
  if (!f->e) return;
  for (uint32_t i = 0; i < f->e->inputs.n; i++) {
    if (data) npy_free(&f->data[i]);
    free(f->batch[i]);
  }
  free(f->data), free(f->batch), free(f->out), free(f->in_record), free(f->out_record), free(f->dims);
}

static const SinterPort *inputs(const Train *t, const Feed *f) { return SINTER_LIST(SinterPort, t->s.m, f->e->inputs); }
static const SinterPort *outputs(const Train *t, const Feed *f) {
  return SINTER_LIST(SinterPort, t->s.m, f->e->outputs);
}

static int take_words(Train *t, Feed *f, const Words *words, const char *option) {
  const SinterModel *m = t->s.m;
  for (int i = 0; i < words->n; i++) {
    char *name;
    const char *text;
    if (!split_word(words->at[i], &name, &text))
      return cli_usage("%s: \"%s\" is not of the form NAME=FILE.npy", option, words->at[i]);
    int k = port_find(m, f->e, name), status = CLI_DONE;
    if (k < 0) {
      Text text_of = {0};
      entry_signature(&text_of, m, f->e);
      status = cli_fail("%s: there is no input \"%s\" in %s", option, name, text_of.at);
      text_free(&text_of);
    } else if (f->data[k].data) {
      status = cli_usage("%s: %s is given twice", option, name);
    } else {
      status = array_for_port(&t->s, &inputs(t, f)[k], name, text, &f->data[k]);
    }
    os_free(name);
    if (status) return status;
  }
  return CLI_DONE;
}

/* All arrays have the same number of rows, and their axis 0 is one dimension of the entry. */
static int check_rows(Train *t, Feed *f, const char *option) {
  const SinterModel *m = t->s.m;
  const SinterPort *p = inputs(t, f);
  const char *entry = sinter_text(m, f->e->name), *first = "";
  for (uint32_t i = 0; i < f->e->inputs.n; i++) {
    const NpyArray *a = &f->data[i];
    const char *name = port_name(m, &p[i], (int)i);
    if (p[i].inout)
      return cli_fail("%s: its inout %s would have to be carried from step to step, which train does not do", entry,
                      name);
    if (!a->data && p[i].rank == 0 && strcmp(name, "lr") == 0)
      return cli_fail("%s takes a learning rate: add --lr NUMBER", entry);
    if (!a->data) return cli_fail("%s takes an input %s: add %s %s=FILE.npy", entry, name, option, name);
    if (a->rank != p[i].rank) {
      Text is = {0}, want = {0};
      array_type(&is, a, a->dim);
      port_type(&want, m, &p[i]);
      cli_fail("%s is %s, but %s takes %s", name, is.at, entry, want.at);
      text_free(&is), text_free(&want);
      return CLI_FAILED;
    }
    if (p[i].rank == 0) continue;
    const SinterCode *c = sinter_at(m, p[i].dim[0].at);
    int dim = p[i].dim[0].n == 1 && c->op == SINTER_SYM_VAR ? (int)c->operand : -1;
    if (dim < 0 || (f->batch_dim >= 0 && dim != f->batch_dim))
      return cli_fail("%s: axis 0 of %s is not the dimension that counts the rows", entry, name);
    f->batch_dim = dim;
    if (f->rows >= 0 && a->dim[0] != f->rows)
      return cli_fail("%s has %" PRId64 " rows, but %s has %" PRId64, name, a->dim[0], first, f->rows);
    f->rows = a->dim[0];
    if (!*first) first = name;
  }
  if (f->rows < 1 || f->rows > UINT32_MAX) return cli_fail("%s: there are no rows to use", entry);
  return CLI_DONE;
}

static int check_outputs(Train *t, Feed *f) {
  const SinterPort *p = outputs(t, f);
  for (uint32_t i = 0; i < f->e->outputs.n; i++)
    if (p[i].rank || (p[i].dtype != SINTER_F32 && p[i].dtype != SINTER_F64))
      return cli_fail("%s: its result %s is not a number of type f32 or f64, which train wants",
                      sinter_text(t->s.m, f->e->name), port_name(t->s.m, &p[i], (int)i));
  return CLI_DONE;
}

/* Fits shapes with `batch` rows and makes room for them. */
static int feed_ready(Train *t, Feed *f, int64_t batch) {
  const SinterModel *m = t->s.m;
  const SinterPort *in = inputs(t, f), *out = outputs(t, f);
  const NpyArray **arrays = mem_alloc(sizeof *arrays * (f->e->inputs.n + 1));
  for (uint32_t i = 0; i < f->e->inputs.n; i++) arrays[i] = &f->data[i];
  int status = shapes_fit(&t->s, f->e, arrays, batch, f->dims);
  free(arrays);
  const SinterDim *d = SINTER_LIST(SinterDim, m, f->e->dims);
  for (uint32_t i = 0; i < f->e->dims.n && !status; i++)
    if (f->dims[d[i].index] == DIM_UNKNOWN)
      status = cli_fail("%s has a dimension %s that no input gives", sinter_text(m, f->e->name),
                        sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]));
  for (uint32_t i = 0; i < f->e->inputs.n && !status; i++) {
    int64_t dim[SINTER_MAX_RANK], bytes;
    void *at = f->data[i].data;
    if (in[i].rank) {
      status = port_bytes(&t->s, f->e, &in[i], f->dims, dim, &bytes);
      if (status) break;
      at = f->batch[i] = aligned_alloc(64, ((size_t)bytes + 127) & ~(size_t)63);
      if (!at) return cli_fail("no memory for a batch of %" PRId64 " rows", batch);
    }
    memcpy(f->in_record + in[i].field, &at, sizeof at);
  }
  for (uint32_t i = 0; i < f->e->outputs.n; i++) {
    void *at = &f->out[i];
    memcpy(f->out_record + out[i].field, &at, sizeof at);
  }
  return status;
}

/* Calls the entry on rows[0..n); `last`: a status SHAPE then leaves them out with a note. */
static int feed_call(Train *t, Feed *f, const uint32_t *rows, int64_t n, bool last) {
  const SinterModel *m = t->s.m;
  const SinterPort *in = inputs(t, f), *out = outputs(t, f);
  for (uint32_t i = 0; i < f->e->inputs.n; i++) {
    const NpyArray *a = &f->data[i];
    if (!in[i].rank) continue;
    size_t bytes = sinter_dtype_size(a->dtype);
    for (uint32_t k = 1; k < a->rank; k++) bytes *= (size_t)a->dim[k];
    for (int64_t r = 0; r < n; r++)
      memcpy((char *)f->batch[i] + (size_t)r * bytes, (const char *)a->data + rows[r] * bytes, bytes);
  }
  const SinterDim *d = SINTER_LIST(SinterDim, m, f->e->dims);
  for (uint32_t i = 0; i < f->e->dims.n; i++)
    memcpy(f->in_record + d[i].field, (int)d[i].index == f->batch_dim ? &n : &f->dims[d[i].index], 8);
  int status = t->s.api->call(t->s.c, f->index, f->in_record, f->out_record);
  if (status == SINTER_ERROR_SHAPE && last) {
    if (!f->dropped) cli_note("the last batch of %" PRId64 " rows is left out: %s", n, t->s.api->message(t->s.c));
    f->dropped = true;
    return CLI_DONE;
  }
  if (status) return cli_fail("%s", t->s.api->message(t->s.c));
  for (uint32_t i = 0; i < f->e->outputs.n; i++) {
    float narrow;
    memcpy(&narrow, &f->out[i], sizeof narrow);
    f->total[i] += (double)n * (out[i].dtype == SINTER_F32 ? (double)narrow : f->out[i]);
  }
  f->counted += n;
  return CLI_DONE;
}

static void feed_reset(Feed *f) {
  f->counted = 0;
  for (uint32_t i = 0; i < f->e->outputs.n; i++) f->total[i] = 0;
}

/* The output called loss, else the first; -1 without outputs. */
static int loss_index(const Train *t, const Feed *f) {
  for (uint32_t i = 0; i < f->e->outputs.n; i++)
    if (outputs(t, f)[i].name && strcmp(sinter_text(t->s.m, outputs(t, f)[i].name), "loss") == 0) return (int)i;
  return f->e->outputs.n ? 0 : -1;
}

static double mean(const Feed *f, int i) { return i < 0 || !f->counted ? NAN : f->total[i] / (double)f->counted; }

/* ---- training ---- */

static int evaluate(Train *t) {
  feed_reset(&t->eval);
  for (int64_t at = 0; at < t->n_held; at += t->batch) {
    int64_t n = t->n_held - at < t->batch ? t->n_held - at : t->batch;
    int status = feed_call(t, &t->eval, t->held + at, n, n < t->batch && t->n_held > t->batch);
    if (status) return status;
  }
  return CLI_DONE;
}

static void put_evaluation(Buf *b, const Train *t) { /* " loss 0.1234 accuracy 0.978" */
  for (uint32_t i = 0; i < t->eval.e->outputs.n; i++) {
    const SinterPort *p = &outputs(t, &t->eval)[i];
    const char *name = p->name ? sinter_text(t->s.m, p->name) : "result";
    buf_printf(b, strcmp(name, "accuracy") == 0 ? " %s %.3f" : " %s %.4f", name, mean(&t->eval, (int)i));
  }
}

static void put_time(Buf *b, double seconds) {
  if (seconds >= 90)
    buf_printf(b, "%.0f min left", seconds / 60);
  else
    buf_printf(b, "%.0f s left", seconds);
}

static void progress(Train *t, int64_t epoch, double done, double start, double loss, bool end) {
  double spent = now() - start, rows = ((double)(epoch - 1) + done) * (double)t->n_train;
  Buf b = {0};
  buf_printf(&b, "epoch %" PRId64 "/%" PRId64 ": loss %.4f", epoch, t->epochs, loss);
  if (end && t->has_eval) buf_put(&b, ", held out"), put_evaluation(&b, t);
  if (rows > 0 && spent > 0) {
    buf_printf(&b, ", %.0f rows/s, ", rows / spent);
    put_time(&b, spent * ((double)t->epochs * (double)t->n_train - rows) / rows);
  }
  if (t->live)
    printf("\r\033[K%s", b.at);
  else if (end)
    printf("%s\n", b.at);
  fflush(stdout);
  buf_free(&b);
}

static int save(Train *t) {
  if (t->s.api->save(t->s.w, t->save)) return cli_fail("%s", t->s.api->open_message(t->s.w));
  return CLI_DONE;
}

static int run_epoch(Train *t, int64_t epoch, double start) {
  int loss = loss_index(t, &t->step);
  double shown = now();
  feed_reset(&t->step);
  for (int64_t at = 0; at < t->n_train; at += t->batch) {
    int64_t n = t->n_train - at < t->batch ? t->n_train - at : t->batch;
    int status = feed_call(t, &t->step, t->order + at, n, n < t->batch && t->n_train > t->batch);
    if (status) return status;
    if (t->live && now() - shown > 0.2) {
      shown = now();
      progress(t, epoch, (double)(at + n) / (double)t->n_train, start, mean(&t->step, loss), false);
    }
  }
  if (loss >= 0 && !isfinite(mean(&t->step, loss))) {
    char number[NUMBER_ROOM];
    return cli_fail("epoch %" PRId64 ": the loss is %s; a smaller learning rate may help", epoch,
                    number_text(number, mean(&t->step, loss), 17));
  }
  int status = t->has_eval ? evaluate(t) : CLI_DONE;
  if (!status) progress(t, epoch, 1, start, mean(&t->step, loss), true);
  return status;
}

static int train_all(Train *t) {
  double start = now(), saved = start;
  int status = CLI_DONE;
  for (int64_t epoch = 1; epoch <= t->epochs && !status; epoch++) {
    shuffle(t->order, t->n_train, (uint64_t)t->seed, (uint32_t)epoch);
    status = run_epoch(t, epoch, start);
    if (!status && epoch < t->epochs && now() - saved > SAVE_SECONDS) status = save(t), saved = now();
  }
  if (t->live) putchar('\n');
  if (!status) status = save(t);
  if (status) return status;
  if (t->has_eval) {
    Buf b = {0};
    put_evaluation(&b, t);
    printf("held out:%s\n", b.at ? b.at : "");
    buf_free(&b);
  }
  printf("saved %s after %" PRId64 " epochs, %.1f s\n", t->save, t->epochs, now() - start);
  return CLI_DONE;
}

/* ---- set-up ---- */

static int choose_step(Train *t, const char *name) {
  const SinterModel *m = t->s.m;
  int found = -1, n = 0;
  if (name) {
    found = model_entry(&t->s, name);
    if (found < 0) return CLI_FAILED;
  }
  for (uint32_t i = 0; i < m->entries.n && !name; i++)
    if (model_entries(m)[i].flags & SINTER_ENTRY_TRAIN) found = (int)i, n++;
  if (found < 0) return cli_fail("%s has no entry marked `train`; name one by --step", t->s.path);
  if (n > 1) return cli_fail("%s has several entries marked `train`; name one by --step", t->s.path);
  if (!(model_entries(m)[found].flags & SINTER_ENTRY_UPDATES))
    return cli_fail("%s updates nothing: it is no entry to train by", sinter_text(m, model_entries(m)[found].name));
  feed_init(&t->step, m, (uint32_t)found);
  return CLI_DONE;
}

/* Before hours of work: can the result be written? */
static int check_target(const char *path) {
  struct stat s;
  if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) return cli_fail("cannot write %s: it is a folder", path);
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) + 1 : 1;
  char *folder = mem_alloc(n + 1);
  memcpy(folder, slash ? path : ".", n);
  int status = access(folder, W_OK) ? cli_fail("cannot write %s: %s: %s", path, folder, strerror(errno)) : CLI_DONE;
  free(folder);
  return status;
}

/* The step's arrays serve the evaluation too, by name. */
static int share_data(Train *t) {
  Feed *f = &t->eval;
  for (uint32_t i = 0; i < f->e->inputs.n; i++) {
    const SinterPort *p = &inputs(t, f)[i];
    const char *name = port_name(t->s.m, p, (int)i);
    int k = port_find(t->s.m, t->step.e, name);
    if (k < 0)
      return cli_fail("evaluate takes an input %s, which %s does not: add --eval %s=FILE.npy ...", name,
                      sinter_text(t->s.m, t->step.e->name), name);
    if (inputs(t, &t->step)[k].dtype != p->dtype)
      return cli_fail("evaluate and %s take %s with different types", sinter_text(t->s.m, t->step.e->name), name);
    f->data[i] = t->step.data[k];
  }
  return CLI_DONE;
}

static int split_rows(Train *t, const char *holdout) {
  double fraction = t->has_eval && !t->own_eval ? 0.2 : 0;
  if (holdout && (!number_read(holdout, &fraction) || !(fraction >= 0 && fraction < 1)))
    return cli_usage("--holdout is \"%s\": a fraction from 0 to below 1 is expected", holdout);
  int64_t rows = t->step.rows, held = (int64_t)floor((double)rows * fraction + 1e-9);
  t->order = mem_alloc(4 * (size_t)rows);
  for (int64_t i = 0; i < rows; i++) t->order[i] = (uint32_t)i;
  if (held) shuffle(t->order, rows, (uint64_t)t->seed, HELD_OUT_SHUFFLE);
  t->n_train = rows - held;
  t->held = t->order + t->n_train;
  t->n_held = held;
  if (t->own_eval) {
    t->n_held = t->eval.rows;
    t->held = mem_alloc(4 * (size_t)t->n_held);
    for (int64_t i = 0; i < t->n_held; i++) t->held[i] = (uint32_t)i;
  }
  if (held && !t->has_eval)
    cli_note("%s has no entry `evaluate`: %" PRId64 " rows are held out and not used", t->s.path, held);
  if (t->has_eval && !t->n_held) t->has_eval = false;
  return CLI_DONE;
}

/* The context is made for a batch of the two entries, and for as little as they allow of the others. */
static int make_context(Train *t, const char *threads) {
  const SinterModel *m = t->s.m;
  int64_t *most = mem_alloc(8 * ((size_t)m->dims.n + 1));
  for (uint32_t i = 0; i < m->dims.n; i++) most[i] = INT64_MAX;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterDim *d = SINTER_LIST(SinterDim, m, model_entries(m)[i].dims);
    for (uint32_t k = 0; k < model_entries(m)[i].dims.n; k++)
      if (d[k].lo < most[d[k].index]) most[d[k].index] = d[k].lo;
  }
  for (int which = 0; which < (t->has_eval ? 2 : 1); which++) {
    const Feed *f = which ? &t->eval : &t->step;
    const SinterDim *d = SINTER_LIST(SinterDim, m, f->e->dims);
    for (uint32_t i = 0; i < f->e->dims.n; i++) {
      int64_t v = f->dims[d[i].index];
      v = v > d[i].hi ? d[i].hi : v; /* the call then says what is wrong */
      if (v > most[d[i].index]) most[d[i].index] = v;
    }
  }
  int status = artefact_context(&t->s, most, threads);
  free(most);
  return status;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct Texts {
  const char *epochs, *batch, *holdout, *seed, *lr, *weights, *save, *step, *threads, *device;
  Words data, eval;
} Texts;

static int set_up(Train *t, Texts *x) {
  const SinterModel *m = t->s.m;
  double lr;
  int status = choose_step(t, x->step);
  if (!status) status = take_words(t, &t->step, &x->data, "--data");
  if (status) return status;
  if (x->lr) {
    int k = port_find(m, t->step.e, "lr");
    if (k < 0 || inputs(t, &t->step)[k].rank)
      return cli_fail("%s has no input lr of rank 0: its learning rate stands in the model",
                      sinter_text(m, t->step.e->name));
    if (!number_read(x->lr, &lr)) return cli_usage("--lr is \"%s\": a number is expected", x->lr);
    npy_free(&t->step.data[k]);
    if ((status = array_for_port(&t->s, &inputs(t, &t->step)[k], "lr", x->lr, &t->step.data[k]))) return status;
  }
  if ((status = check_rows(t, &t->step, "--data")) || (status = check_outputs(t, &t->step))) return status;
  for (uint32_t i = 0; i < m->entries.n && !t->has_eval; i++) {
    if (strcmp(sinter_text(m, model_entries(m)[i].name), "evaluate") != 0) continue;
    t->has_eval = true;
    feed_init(&t->eval, m, i);
  }
  if (x->eval.n && !t->has_eval) return cli_fail("%s has no entry `evaluate` for --eval", t->s.path);
  double fraction = 1;
  bool none_held = x->holdout && number_read(x->holdout, &fraction) && fraction == 0;
  if (t->has_eval && !none_held) {
    t->own_eval = x->eval.n > 0;
    status = t->own_eval ? take_words(t, &t->eval, &x->eval, "--eval") : share_data(t);
    if (!status) status = check_rows(t, &t->eval, "--eval");
    if (!status) status = check_outputs(t, &t->eval);
  } else {
    t->has_eval = false;
  }
  if (!status) status = split_rows(t, x->holdout);
  if (!status) status = feed_ready(t, &t->step, smaller(t->batch, t->n_train));
  if (!status && t->has_eval) status = feed_ready(t, &t->eval, smaller(t->batch, t->n_held));
  if (!status) status = artefact_weights(&t->s, x->weights, x->weights && !x->seed ? 0 : (uint64_t)t->seed, false);
  if (!status) status = artefact_device(&t->s, x->device);
  if (!status) status = make_context(t, x->threads);
  return status;
}

static int check_texts(Train *t, const Texts *x, const Words *rest) {
  t->epochs = 10, t->batch = 64, t->seed = 1;
  if (rest->n == 0) return cli_usage("train wants an artefact");
  if (rest->n > 1) return cli_usage("\"%s\" is not expected here: data come after --data", rest->at[1]);
  if (x->data.n == 0) return cli_usage("train wants --data NAME=FILE.npy ...");
  if (!x->save) return cli_usage("train wants --save FILE");
  if (x->holdout && x->eval.n) return cli_usage("--holdout and --eval exclude each other");
  if (x->epochs && !number_read_int(x->epochs, 1, 1000000000, &t->epochs))
    return cli_usage("--epochs is \"%s\": a number from 1 is expected", x->epochs);
  if (x->batch && !number_read_int(x->batch, 1, 1 << 30, &t->batch))
    return cli_usage("--batch is \"%s\": a number from 1 is expected", x->batch);
  if (x->seed && !number_read_int(x->seed, 0, INT64_MAX, &t->seed))
    return cli_usage("--seed is \"%s\": a number from 0 is expected", x->seed);
  t->save = x->save;
  return check_target(x->save);
}

static int run(int argc, char **argv) {
  size_t room = sizeof(char *) * (size_t)argc;
  Texts x = {.data = {mem_alloc(room), 0}, .eval = {mem_alloc(room), 0}};
  Words rest = {mem_alloc(room), 0};
  const Option options[] = {
      {"--epochs", &x.epochs, NULL, NULL}, {"--batch", &x.batch, NULL, NULL}, {"--holdout", &x.holdout, NULL, NULL},
      {"--seed", &x.seed, NULL, NULL},     {"--lr", &x.lr, NULL, NULL},       {"--weights", &x.weights, NULL, NULL},
      {"--save", &x.save, NULL, NULL},     {"--step", &x.step, NULL, NULL},   {"--threads", &x.threads, NULL, NULL},
      {"--device", &x.device, NULL, NULL}, {"--data", NULL, NULL, &x.data},   {"--eval", NULL, NULL, &x.eval}};
  Train t = {.live = isatty(1)};
  int status = cli_options(argc, argv, options, sizeof options / sizeof *options, &rest);
  if (!status) status = check_texts(&t, &x, &rest);
  device_chosen(x.device);
  if (!status) {
    status = artefact_open(&t.s, rest.at[0]);
    if (!status) status = set_up(&t, &x);
    if (!status) status = train_all(&t);
    feed_free(&t.step, true);
    feed_free(&t.eval, t.own_eval);
    if (t.own_eval) free(t.held);
    free(t.order);
    artefact_end(&t.s);
  }
  free(x.data.at), free(x.eval.at), free(rest.at);
  return status;
}

const Command command_train = {"train", "trains an artefact on .npy files", run, HELP};
