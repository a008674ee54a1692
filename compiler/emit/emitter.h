/* What the compiler asks of a back end that makes object code. The LLVM emitter is a shared module of its own, opened
 * only by commands that emit: its one entry point is sinter_emitter(). Object code of a request depends on the request
 * alone: the same kernels and level give the same bytes. */
#ifndef SINTER_EMIT_EMITTER_H
#define SINTER_EMIT_EMITTER_H
#include "loop.h"
#include "target.h"

typedef struct EmitRequest {
  const LoopModule *module; /* verified; vector maths expanded (expand_math_module) */
  const Target *target;
  int first, count; /* kernels first .. first + count - 1 of the module; count 0: all from first on */
  bool text;        /* also the module as text */
  Arena *arena;     /* what the result is made in */
} EmitRequest;

typedef struct EmitResult {
  const uint8_t *object; /* a relocatable ELF object: one hidden function a stage, emit_symbol() its name */
  size_t size;
  const char *text;  /* LLVM IR or assembly, if it was asked for */
  const char *error; /* one sentence if emit_object gave false: what is not supported, and where */
} EmitResult;

struct HostRequest; /* host_object.h */
typedef struct SinterEmitter {
  uint32_t size;       /* of this struct */
  const char *version; /* "LLVM 19.1.7" */
  bool (*emit_object)(const EmitRequest *, EmitResult *);
  bool (*print_ir)(const EmitRequest *, EmitResult *);         /* the text only, without making code */
  bool (*emit_host)(const struct HostRequest *, EmitResult *); /* the object with description, tables and forwards */
  bool (*print_asm)(const EmitRequest *, EmitResult *);        /* the text only: the object's code as assembly */
} SinterEmitter;
typedef const SinterEmitter *SinterEmitterQuery(void);
__attribute__((visibility("default"))) const SinterEmitter *sinter_emitter(void);

/* The function of one stage: `k3_gemm_main_v4`, a SinterKernel of runtime/abi.h. */
static inline const char *emit_symbol(Arena *a, int kernel, const char *kernel_name, const char *stage_name,
                                      const Target *t) {
  return arena_printf(a, "k%d_%s_%s_%s", kernel, kernel_name, stage_name, t->name);
}
#endif
