/* Loop IR to object code through the LLVM C API, one level at a time. Link with the emitter, or open it as a shared
 * module and ask sinter_emitter() (emitter.h). */
#ifndef SINTER_EMIT_LLVM_EMIT_H
#define SINTER_EMIT_LLVM_EMIT_H
#include "emitter.h"

bool emit_object(const EmitRequest *, EmitResult *out);
bool emit_text(const EmitRequest *, EmitResult *out);
bool emit_asm(const EmitRequest *, EmitResult *out);
#endif
