/* Compiled code against the reference evaluator. A program is compiled into one artefact; its entries are called
 * through the artefact's own runtime on every level that the machine has, with several numbers of threads, and compared
 * with entry_eval; all stages are shared out among the threads, small ones too. What a call may read and write lies
 * beside pages that nobody may touch. */
#ifndef SINTER_TESTS_MATRIX_NATIVE_H
#define SINTER_TESTS_MATRIX_NATIVE_H
#include "eval.h"
#include "sinter.h"

enum { NATIVE_LEVELS = 3, NATIVE_ALL = (1 << NATIVE_LEVELS) - 1 };

/* The machine that runs the code: this one (machine_here.c), or another kind under an emulator (../a64). A test program
 * is linked with one of them. */
typedef struct NativeMachine {
  const char *target;    /* of the compilation */
  const char *cpu, *gpu; /* likewise; cpu NULL: all levels; gpu NULL: none, else the folder `dump` beside the artefact
                            has every form in between */
  int nlevels;
  const char *level[NATIVE_LEVELS];
  int threads[5];               /* ends with 0 */
  bool slow;                    /* one size of each entry, no large ones, fewer programs */
  const char *const *programs;  /* patterns of those, ended by NULL; NULL: as `slow` has it */
  const char *(*missing)(void); /* why it cannot be had, or NULL */
  bool (*has)(int level);
  bool (*open)(SinterArtefact *, const char *path, char *why);
  int (*place)(const SinterApi *,
               SinterWeights *); /* a status: where calls are to run; NULL: where weights are opened */
  void (*close)(SinterArtefact *);
} NativeMachine;
extern const NativeMachine native_machine;

typedef struct Native {
  Program before; /* as it was before the compiler's passes */
  SinterArtefact artefact;
  SinterWeights *weights[NATIVE_LEVELS];
  SinterContext *context[NATIVE_LEVELS]; /* NULL: the machine does not have the level */
} Native;

/* How far a float may be from the reference: `ulps` units in the last place (0: the same bits, all NaNs being one), or
 * what op/reference.h says of values that are rounded on the way. Integers and bools are always equal. */
typedef struct NativeBound {
  double ulps;
  bool any_zero; /* 0 may be -0 */
  bool rounded;
} NativeBound;

typedef struct NativeCall {
  int entry;
  const NamedDim *dims; /* of the entry, in its order */
  const Tensor *inputs; /* by port */
  Tensor *cells;        /* before the call; left as they are */
  const NativeBound
      *bound;        /* by output port; also of inouts by input port, after the outputs, and of cells, after them */
  const char *place; /* "file.sir:3:4": of the op that may fail, NULL: anything */
} NativeCall;

/* Both print what is wrong. The program is compiled: its graphs are replaced. Dimensions go up to their bounds, but not
 * above `cap`. */
bool native_open(Native *, Program *, const char *name, int64_t cap);
void native_close(Native *);
/* The levels (bit k: native_machine.level[k]) that agree with the reference, those that the machine lacks included. */
unsigned native_compare(Native *, const NativeCall *);
/* What a test program does where its machine is missing: one test, skipped with the reason. Returns as main does. */
int native_left_out(void);
#endif
