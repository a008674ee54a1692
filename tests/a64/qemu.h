/* AArch64 code on another machine, under qemu-user: a shared library is opened by a driver (driver.c) that runs in the
 * emulator with the C library of Debian's libc6-arm64-cross, and what is asked of it goes through pipes (wire.h). One
 * library at a time. A driver that dies ends the test program with a sentence. */
#ifndef SINTER_TESTS_A64_QEMU_H
#define SINTER_TESTS_A64_QEMU_H
#include "sinter.h"

/* The emulator, as words of the shell: ARMv8.0, where an instruction of a later version ends the program. */
#define QEMU_CPU "cortex-a53"
#define QEMU_RUN "qemu-aarch64-static -cpu " QEMU_CPU

/* Why programs without a C library cannot be run here, or NULL. */
const char *qemu_emulator_missing(void);
/* The same of code that wants one. Builds the driver at the first call, from the repository's root. */
const char *qemu_missing(void);

/* A program from one C file, with this folder of headers and these libraries beside the C library's; false after the
 * compiler's messages. */
bool qemu_program(const char *output, const char *source, const char *include, const char *libraries);
/* Runs it to its end with SINTER_THREADS; the status of system(). */
int qemu_run(const char *program, const char *arguments, int threads);

/* An artefact with the functions of SinterApi that tests use, as if it were loaded here; WIRE_DIMS dimensions at most.
 */
bool qemu_artefact_open(SinterArtefact *, const char *path, char *why);
void qemu_artefact_close(SinterArtefact *);

/* Stages of a shared library with the table `stages` (jit.h), until another is opened. The call's buffers lie in the
 * blocks, which are sent and come back. */
enum { QEMU_BLOCKS = 128 };
typedef struct QemuBlock {
  void *at;
  size_t bytes;
} QemuBlock;
void qemu_kernels_open(const char *path);
void qemu_kernel(int stage, const SinterCall *, int ndims, int nbufs, const QemuBlock *, int nblocks, int64_t lo,
                 int64_t hi, int32_t tid);
#endif
