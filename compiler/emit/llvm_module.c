/* Modules: target machine, attributes, verification, text and object; the entry point of the emitter. */
#include "host_object.h"
#include "llvm_emit.h"
#include "llvm_gen.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <stdio.h>
#include <string.h>

void gen_refuse(Gen *g, const char *fmt, ...) {
  va_list ap;
  if (g->error) return;
  va_start(ap, fmt);
  g->error = arena_vprintf(g->arena, fmt, ap);
  va_end(ap);
}

/* The machine scheduler may lengthen lifetimes until a register tile spills (measured: 14x32 with a symbolic K, 20
 * instead of 90 % of peak); the order of emission is good already. LLVM has a process-wide option for it and nothing
 * else. */
__attribute__((constructor)) static void set_options(void) {
  const char *const args[] = {"sinter", "-enable-misched=false", "-hoist-const-loads=false"};
  LLVMParseCommandLineOptions(3, args, "");
}

static void text_attr(LLVMContextRef cx, LLVMValueRef f, const char *k, const char *v) {
  LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex,
                          LLVMCreateStringAttribute(cx, k, (unsigned)strlen(k), v, (unsigned)strlen(v)));
}
static void enum_attr(LLVMContextRef cx, LLVMValueRef f, LLVMAttributeIndex at, const char *name) {
  LLVMAddAttributeAtIndex(f, at, LLVMCreateEnumAttribute(cx, LLVMGetEnumAttributeKindForName(name, strlen(name)), 0));
}

static void set_attributes(Gen *g) {
  char bits[16];
  snprintf(bits, sizeof bits, "%d", g->target->vector_bytes * 8);
  for (LLVMValueRef f = LLVMGetFirstFunction(g->mod); f; f = LLVMGetNextFunction(f)) {
    if (LLVMIsDeclaration(f)) continue;
    enum_attr(g->cx, f, LLVMAttributeFunctionIndex, "nounwind");
    text_attr(g->cx, f, "target-cpu", g->target->cpu);
    if (*g->target->features) text_attr(g->cx, f, "target-features", g->target->features);
    text_attr(g->cx, f, "frame-pointer", "none");
    text_attr(g->cx, f, "no-builtins", "true");
    if (!strcmp(g->target->arch, "x86_64")) {
      text_attr(g->cx, f, "prefer-vector-width", bits);
      text_attr(g->cx, f, "min-legal-vector-width", bits);
    }
    if (LLVMCountParams(f) == 4) { /* a stage: its call record is nobody else's memory while it runs */
      enum_attr(g->cx, f, 1, "noalias");
      enum_attr(g->cx, f, 1, "nonnull");
    }
  }
}

static char *arena_copy(Arena *a, LLVMMemoryBufferRef b, size_t *n) { /* ends with a NUL; releases the buffer */
  *n = LLVMGetBufferSize(b);
  char *p = arena_strndup(a, LLVMGetBufferStart(b), *n);
  LLVMDisposeMemoryBuffer(b);
  return p;
}

typedef enum Form { FORM_OBJECT, FORM_ASM, FORM_IR } Form;

static bool generate(const EmitRequest *q, EmitResult *out, Form form) {
  *out = (EmitResult){0};
  const Target *t = q->target;
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64Target();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64AsmPrinter();
  char *why = NULL;
  LLVMTargetRef target;
  if (LLVMGetTargetFromTriple(t->triple, &target, &why)) {
    out->error = arena_printf(q->arena, "this LLVM makes no code for %s: %s", t->arch, why);
    LLVMDisposeMessage(why);
    return false;
  }
  LLVMTargetMachineRef tm = LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features, LLVMCodeGenLevelDefault,
                                                    LLVMRelocPIC, LLVMCodeModelDefault);
  Arena *scratch = arena_new();
  Gen *g = ARENA_NEW(scratch, Gen);
  g->arena = scratch;
  g->target = t;
  g->module = q->module;
  g->cx = LLVMContextCreate();
  g->mod = LLVMModuleCreateWithNameInContext("sinter", g->cx);
  g->b = LLVMCreateBuilderInContext(g->cx);
  LLVMSetTarget(g->mod, t->triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
  LLVMSetModuleDataLayout(g->mod, layout);
  g->t_void = LLVMVoidTypeInContext(g->cx);
  g->t_ptr = LLVMPointerTypeInContext(g->cx, 0);
  g->t_i1 = LLVMInt1TypeInContext(g->cx);
  g->t_i8 = LLVMInt8TypeInContext(g->cx);
  g->t_i16 = LLVMInt16TypeInContext(g->cx);
  g->t_i32 = LLVMInt32TypeInContext(g->cx);
  g->t_i64 = LLVMInt64TypeInContext(g->cx);
  g->t_f32 = LLVMFloatTypeInContext(g->cx);
  g->t_f64 = LLVMDoubleTypeInContext(g->cx);
  g->md_invariant = LLVMGetMDKindIDInContext(g->cx, "invariant.load", 14);
  g->md_empty = LLVMMetadataAsValue(g->cx, LLVMMDNodeInContext2(g->cx, NULL, 0));
  LLVMMetadataRef weights[] = {LLVMMDStringInContext2(g->cx, "branch_weights", 14),
                               LLVMValueAsMetadata(LLVMConstInt(g->t_i32, 1, 0)),
                               LLVMValueAsMetadata(LLVMConstInt(g->t_i32, 1000, 0))};
  g->md_weights = LLVMGetMDKindIDInContext(g->cx, "prof", 4);
  g->md_unlikely = LLVMMetadataAsValue(g->cx, LLVMMDNodeInContext2(g->cx, weights, 3));
  g->zero = LLVMAddGlobal(g->mod, g->t_i64, "sinter_zero"); /* what inactive lanes read */
  LLVMSetInitializer(g->zero, LLVMConstNull(g->t_i64));
  LLVMSetGlobalConstant(g->zero, 1);
  LLVMSetLinkage(g->zero, LLVMPrivateLinkage);
  LLVMSetAlignment(g->zero, 8);

  int n = q->count ? q->count : (int)q->module->kernels.n - q->first;
  for (int i = q->first; i < q->first + n && !g->error; i++) {
    g->k = q->module->kernels.at[i];
    for (uint32_t j = 0; j < g->k->stages.n && !g->error; j++) {
      g->stage = g->k->stages.at[j];
      gen_stage(g, emit_symbol(scratch, i, g->k->name, g->stage->name, t));
    }
  }
  if (!g->error) {
    if (!LLVMGetFirstUse(g->zero)) LLVMDeleteGlobal(g->zero);
    set_attributes(g);
    if (LLVMVerifyModule(g->mod, LLVMReturnStatusAction, &why)) {
      char *text = LLVMPrintModuleToString(g->mod);
      fprintf(stderr, "%s\n", text);
      BUG("LLVM refuses the module: %s", why);
    }
    LLVMDisposeMessage(why);
    if (q->text || form == FORM_IR) {
      char *text = LLVMPrintModuleToString(g->mod);
      out->text = arena_strndup(q->arena, text, strlen(text));
      LLVMDisposeMessage(text);
    }
    LLVMMemoryBufferRef made;
    size_t n;
    if (form == FORM_ASM) LLVMSetTargetMachineAsmVerbosity(tm, 1); /* says where loops begin */
    if (form != FORM_IR && LLVMTargetMachineEmitToMemoryBuffer(
                               tm, g->mod, form == FORM_ASM ? LLVMAssemblyFile : LLVMObjectFile, &why, &made))
      BUG("LLVM makes no code: %s", why);
    if (form == FORM_ASM) out->text = arena_copy(q->arena, made, &n);
    if (form == FORM_OBJECT) out->object = (const uint8_t *)arena_copy(q->arena, made, &out->size);
  }
  if (g->error) out->error = arena_strndup(q->arena, g->error, strlen(g->error));
  LLVMDisposeTargetData(layout);
  LLVMDisposeBuilder(g->b);
  LLVMDisposeModule(g->mod);
  LLVMContextDispose(g->cx);
  LLVMDisposeTargetMachine(tm);
  arena_free(scratch);
  return !out->error;
}

bool emit_object(const EmitRequest *q, EmitResult *out) { return generate(q, out, FORM_OBJECT); }
bool emit_text(const EmitRequest *q, EmitResult *out) { return generate(q, out, FORM_IR); }
bool emit_asm(const EmitRequest *q, EmitResult *out) { return generate(q, out, FORM_ASM); }

const SinterEmitter *sinter_emitter(void) {
  static const SinterEmitter e = {sizeof e, "LLVM 19", emit_object, emit_text, emit_host, emit_asm};
  return &e;
}
