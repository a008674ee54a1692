/* What the programs of the kit share: an artefact, opened from its file, and its weights on a processor or a GPU. */
#ifndef SINTER_KIT_H
#define SINTER_KIT_H
#include "sinter.h"

enum { KIT_MANY = 64 /* dimensions, and inputs and outputs of an entry, at most */ };

typedef struct Kit {
  SinterArtefact art;
  const SinterApi *api;
  const SinterModel *m;
  int64_t most[KIT_MANY]; /* dimensions, as SinterModel.dims */
} Kit;

__attribute__((format(printf, 1, 2), noreturn)) void kit_die(const char *fmt, ...);
/* Ends the program if the file is no artefact, or a large one. Every dimension is 64, or the bound of an entry that is
 * nearest; some entries' may still lie below (`kit_clamp`). */
void kit_open(Kit *, const char *path);
int64_t kit_clamp(const SinterDim *, int64_t value);
/* Weights from a seed, and a context for `most`, on a device. */
void kit_create(const Kit *, const char *device, uint64_t seed, SinterWeights **, SinterContext **);
int64_t kit_elements(const SinterModel *, const SinterPort *, const int64_t *dims);
const char *kit_label(const SinterModel *, const SinterPort *); /* a port's name */
double kit_element(uint32_t dtype, const void *data, int64_t i);
#endif
