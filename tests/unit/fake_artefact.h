/* The model of fake_model.h as an artefact: the runtime compiled as it is for artefacts, with the tail at its end. The
 * tests that want one run from the repository's root, where its sources are. */
#ifndef SINTER_TEST_FAKE_ARTEFACT_H
#define SINTER_TEST_FAKE_ARTEFACT_H
#include "sinter.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline bool fake_artefact(const char *path) {
  char command[1024];
  snprintf(command, sizeof command,
           "clang-19 -std=c17 -O2 -fPIC -fvisibility=hidden -ffreestanding -fno-stack-protector -fno-builtin "
           "-DFAKE_SHARED -I runtime -I runtime/cpu "
           "tests/unit/fake_model.c runtime/cpu/*.c -shared -o %s",
           path);
  if (system(command) != 0) return false;
  FILE *f = fopen(path, "r+b");
  if (!f || fseek(f, 0, SEEK_END)) return false;
  long n = ftell(f);
  unsigned char *bytes = malloc((size_t)n);
  rewind(f);
  bool good = fread(bytes, 1, (size_t)n, f) == (size_t)n;
  SinterTail tail = {.length = (uint64_t)n,
                     .machine = sinter_machine(),
                     .abi = SINTER_ABI_VERSION,
                     .size = sizeof tail,
                     .magic = "SINTER\r"};
  tail.magic[7] = '\n';
  tail.crc64 = sinter_crc64(&tail, offsetof(SinterTail, crc64), sinter_crc64(bytes, (size_t)n, 0));
  free(bytes);
  good = good && !fseek(f, 0, SEEK_END) && fwrite(&tail, sizeof tail, 1, f) == 1;
  return !fclose(f) && good;
}
#endif
