/* The command line: `sinter COMMAND ...`. A command is a Command of its own file, listed in main.c; it returns an exit
 * status: 0 done, 1 refused or failed (one sentence on stderr, no output file), 2 used wrongly. What several commands
 * want stands here: options, opened artefacts, arrays that fit the inputs of an entry. */
#ifndef SINTER_CLI_H
#define SINTER_CLI_H
#include "sinter.h"
#include "str.h"
#include <stdbool.h>
#include <stdint.h>

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

typedef struct Command {
  const char *name, *summary;
  int (*run)(int argc, char **argv); /* argv[0]: the command's name */
  const char *help;                  /* printed by --help; NULL: the command does it itself */
} Command;

int cmd_compile(int argc, char **argv), cmd_check(int argc, char **argv), cmd_explain(int argc, char **argv);
extern const Command command_bench, command_run, command_train, command_info, command_verify;

/* ---- messages and options (cli_args.c) ---- */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "sinter: sentence" on stderr; CLI_FAILED */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* the same; CLI_USAGE */
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "note: ..." on stderr */

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

bool cli_int(const char *text, int64_t lo, int64_t hi, int64_t *out); /* the whole text is such a number */
bool cli_float(const char *text, double *out);

/* ---- an opened artefact (cli_artefact.c) ---- */
typedef struct Artefact {
  SinterArtefact art;
  const char *path;
  const SinterModel *m;
  const SinterApi *api;
  SinterWeights *w;
  SinterContext *c;
} Artefact;

/* Each returns CLI_DONE, or CLI_FAILED after a sentence. */
int artefact_open(Artefact *, const char *path);
int artefact_look(Artefact *, const char *path); /* one for another machine has a description only: api is NULL */
int artefact_weights(Artefact *, const char *file, uint64_t seed);              /* file may be NULL; prints notes */
int artefact_context(Artefact *, const int64_t *max_dims, const char *threads); /* threads: text of --threads or NULL */
void artefact_close(Artefact *);                                                /* also after a failure */

bool model_has_params(const SinterModel *);
const SinterEntry *model_entries(const SinterModel *);
int model_entry(const Artefact *, const char *name);                       /* index, or -1 after a sentence */
const char *port_name(const SinterModel *, const SinterPort *, int index); /* "0", "1", ... for those without */
void port_type(Buf *, const SinterModel *, const SinterPort *);            /* "f32[B, 64]" */
void array_type(Buf *, const NpyArray *, const int64_t *dim);          /* "f32[3, 64]"; dim: of the array, or others */
void entry_signature(Buf *, const SinterModel *, const SinterEntry *); /* "predict(x: f32[B, 64]) -> f32[B, 10]" */
int port_find(const SinterModel *, const SinterEntry *, const char *name); /* an input, by name or number; -1 */

enum { DIM_UNKNOWN = -1 };
/* Fits the shapes of arrays to the inputs of an entry: sets those of `dims` (as SinterModel.dims) that are DIM_UNKNOWN.
 * arrays[i] belongs to input i; NULL ones are passed over. rows >= 0 stands for the first size of every array of
 * rank > 0. CLI_FAILED after a sentence that names the array. */
int shapes_fit(const Artefact *, const SinterEntry *, const NpyArray *const *arrays, int64_t rows, int64_t *dims);
int port_bytes(const Artefact *, const SinterEntry *, const SinterPort *, const int64_t *dims,
               int64_t dim[SINTER_MAX_RANK], int64_t *bytes);

/* Reads `text` for an input: a number if its rank is 0 and it is one, else a .npy file; converts with a note. */
int array_for_port(const Artefact *, const SinterPort *, const char *name, const char *text, NpyArray *);
void array_print(Buf *, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data);

/* Splits NAME=TEXT; false without '=' or a name. *name is allocated. */
bool split_word(const char *word, char **name, const char **text);
#endif
