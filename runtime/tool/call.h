/* A call of an entry from words of a command line, for `sinter` and for the executables that it makes: options, inputs
 * from files, numbers and the standard input, dimensions, results as text and as files. Both programs are made of these
 * files, so they refuse the same things by the same sentences. A command returns an exit status: 0 done, 1 refused or
 * failed (one sentence on stderr, no output file), 2 used wrongly. */
#ifndef SINTER_CALL_H
#define SINTER_CALL_H
#include "sinter.h"
#include "text.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* ---- messages and options (args.c) ---- */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "sinter: sentence" on stderr; CLI_FAILED */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* the same; CLI_USAGE */
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "note: ..." on stderr */
int cli_print(const Text *);   /* on stdout; CLI_DONE, or CLI_FAILED after a sentence */
void *cli_alloc(size_t bytes); /* zeroed; without memory it ends the program by a sentence; os_free */

typedef struct Words {
  const char **at;
  int n;
} Words;

typedef struct Option { /* `--name VALUE`, `--name=VALUE`, a flag, or `--name WORD WORD ...` */
  const char *name;     /* with its dashes */
  const char **value;
  bool *flag;
  Words *words; /* takes the words up to the next option */
} Option;

/* Sorts argv[1..] into options and the rest. `rest` and Words have room for argc words (the caller's arrays). Returns
 * CLI_DONE, or CLI_USAGE after a sentence. After `--` everything is rest. */
int cli_options(int argc, char **argv, const Option *, int n, Words *rest);
bool cli_wants_help(int argc, char **argv); /* --help or -h, before a `--` */

/* Splits NAME=TEXT; false without '=' or a name. *name is the caller's to os_free. */
bool split_word(const char *word, char **name, const char **text);

/* ---- an opened artefact and its ports (ports.c) ---- */
typedef struct Artefact {
  SinterArtefact art; /* of a file that was opened */
  const char *path;   /* as sentences name it */
  const char *lister; /* the command that lists its entries when `path` follows it; NULL: `path --help` does */
  const SinterModel *m;
  const SinterApi *api;
  int (*open_embedded)(SinterWeights **); /* NULL: it brings no weights of its own */
  SinterWeights *w;
  SinterContext *c;
} Artefact;

/* What the two programs differ in. Each gives: */
extern const char *cli_name(void);                                    /* what its sentences begin with */
extern int artefact_begin(Artefact *, const Words *words, int *next); /* takes words[*next ...] if it wants them */
extern void artefact_end(Artefact *);                                 /* also after a failure */

/* Each returns CLI_DONE, or CLI_FAILED after a sentence. */
/* Opens a file's weights, or without one start values; `own`: those that it brings, if it does. Prints notes. */
int artefact_weights(Artefact *, const char *file, uint64_t seed, bool own);
/* Text of --device, or NULL. When it is read: weights that are opened then care for it, not for SINTER_DEVICE; when
 * they are open: contexts run there from now on. */
void device_chosen(const char *device);
int artefact_device(Artefact *, const char *device);
int artefact_context(Artefact *, const int64_t *max_dims, const char *threads); /* threads: text of --threads or NULL */

bool model_has_params(const SinterModel *);
const SinterEntry *model_entries(const SinterModel *);
int model_entry(const Artefact *, const char *name);                       /* index, or -1 after a sentence */
const char *port_name(const SinterModel *, const SinterPort *, int index); /* "0", "1", ... for those without */
void port_type(Text *, const SinterModel *, const SinterPort *);           /* "f32[B, 64]" */
void array_type(Text *, const NpyArray *, const int64_t *dim);          /* "f32[3, 64]"; dim: of the array, or others */
void entry_signature(Text *, const SinterModel *, const SinterEntry *); /* "predict(x: f32[B, 64]) -> f32[B, 10]" */
void model_signatures(Text *, const SinterModel *);                     /* of all entries, with their documentation */
int port_find(const SinterModel *, const SinterEntry *, const char *name); /* an input, by name or number; -1 */

enum { DIM_UNKNOWN = -1 };
/* Fits the shapes of arrays to the inputs of an entry: sets those of `dims` (as SinterModel.dims) that are DIM_UNKNOWN.
 * arrays[i] belongs to input i; NULL ones are passed over. rows >= 0 stands for the first size of every array of
 * rank > 0. CLI_FAILED after a sentence that names the array. */
int shapes_fit(const Artefact *, const SinterEntry *, const NpyArray *const *arrays, int64_t rows, int64_t *dims);
int port_bytes(const Artefact *, const SinterEntry *, const SinterPort *, const int64_t *dims,
               int64_t dim[SINTER_MAX_RANK], int64_t *bytes);

/* Reads `text` for an input: a number if its rank is 0 and it is one, "-": a .npy file from the standard input, else a
 * .npy file; converts with a note. */
int array_for_port(const Artefact *, const SinterPort *, const char *name, const char *text, NpyArray *);
/* Reads a file ("-": the standard input) of bare elements, little-endian, in row order. Its shape is the port's for
 * `dims`; if one axis is a dimension that is not known yet, the size of the file tells it and sets it. */
int raw_for_port(const Artefact *, const SinterPort *, const char *name, const char *path, int64_t *dims, NpyArray *);
void array_print(Text *, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data);

/* ---- a call (call.c) ---- */
typedef struct Call {
  Artefact s;
  const SinterEntry *e;
  uint32_t index;       /* of e */
  NpyArray *in, *out;   /* by port */
  const char **raw;     /* by input: a file of bare elements that is read once the dimensions are known */
  bool raw_streams;     /* the standard input holds bare elements, not a .npy file */
  bool input_taken;     /* the standard input is, by one input */
  int64_t *dims, *most; /* as SinterModel.dims: of this call, DIM_UNKNOWN until known; what the context is made for */
  char *in_record, *out_record;
} Call;

/* Each returns CLI_DONE, or a status after a sentence. */
int call_begin(Call *, const Words *words,
               int *next);               /* after artefact_begin: the entry that words[*next] names, if it does */
int call_word(Call *, const char *word); /* NAME=FILE, NAME=NUMBER, DIM=NUMBER */
int call_settle(Call *);                 /* after the words: all inputs and dimensions are there and fit */
void call_most(Call *);                  /* once dims are known */
int call_records(Call *);                /* allocates the outputs, fills both records */
void call_end(Call *);                   /* releases all but the artefact */

/* ---- one call as a command (run.c) ---- */
int run_command(int argc, char **argv); /* argv[0] is passed over */
/* What follows "usage: PROGRAM [ENTRY] " in the help of both. */
#define RUN_HELP                                                                                                       \
  "NAME=FILE.npy ... [DIM=NUMBER ...] [OPTION ...]\n"                                                                  \
  "\n"                                                                                                                 \
  "Calls an entry once and prints its results. ENTRY may be left out when there is one.\n"                             \
  "  NAME=FILE.npy   an input, by name or by position (0=FILE.npy); a number for one of rank 0 (lr=0.1).\n"            \
  "                  Other float types, and integers that fit, are converted with a note.\n"                           \
  "  NAME=FILE.raw   an input as bare little-endian elements in row order; one dimension may be left to its size\n"    \
  "  NAME=-          an input as .npy from the standard input\n"                                                       \
  "  DIM=NUMBER      a dimension that no input has\n"                                                                  \
  "  --weights FILE  parameters and states from a safetensors file\n"                                                  \
  "  --init SEED     start values drawn from the seed, a number\n"                                                     \
  "  --threads N     at most N threads (default: SINTER_THREADS, or the processors there are)\n"                       \
  "  --device D      where it runs: cpu, or cuda or cuda:N if it was compiled with --gpu (default: SINTER_DEVICE, or " \
  "cpu)\n"                                                                                                             \
  "  --out DIR       writes the results to DIR/NAME.npy (one without a name: DIR/0.npy) and prints none\n"             \
  "  --out -         writes the results to the standard output, one .npy after another\n"                              \
  "  --result NAME   this result only\n"                                                                               \
  "  --raw           bare elements instead of .npy: for NAME=- and for --out (DIR/NAME.raw)\n"
#endif
