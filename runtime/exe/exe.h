/* What the files of an executable share. */
#ifndef SINTER_EXE_H
#define SINTER_EXE_H
#include "abi.h"
#include <stdbool.h>

int exe_main(int argc, char **argv); /* the exit status */

/* exe_weights.c. Opening is once in a process: the weights are used where they lie. A status, as sinter_rt_open. */
bool exe_has_weights(void);
int exe_open_weights(SinterWeights **);
#endif
