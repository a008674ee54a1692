/* The host object through LLVM: tables as constants, exported functions as tail calls. */
#include "abi.h"
#include "host_object.h"
#include "llvm_emit.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

enum { STUB_ARGS = 8 };

typedef struct Host {
  LLVMContextRef cx;
  LLVMModuleRef mod;
  LLVMBuilderRef b;
  LLVMTypeRef ptr, i32, i64;
} Host;

static LLVMTypeRef type_of(const Host *h, char c) {
  return c == 'p' ? h->ptr : c == 'i' ? h->i32 : c == 'l' ? h->i64 : LLVMVoidTypeInContext(h->cx);
}

static LLVMValueRef hide(LLVMValueRef v) {
  LLVMSetVisibility(v, LLVMHiddenVisibility);
  return v;
}

static LLVMValueRef constant(Host *h, const char *name, LLVMValueRef value, unsigned align) {
  LLVMValueRef v = hide(LLVMAddGlobal(h->mod, LLVMTypeOf(value), name));
  LLVMSetInitializer(v, value);
  LLVMSetGlobalConstant(v, 1);
  LLVMSetAlignment(v, align);
  return v;
}

static LLVMValueRef bytes(Host *h, const char *name, const uint8_t *at, size_t n) {
  return constant(
      h, name,
      n ? LLVMConstStringInContext2(h->cx, (const char *)at, n, 1) : LLVMConstNull(LLVMInt8TypeInContext(h->cx)), 64);
}

static LLVMValueRef function(Host *h, const char *name, LLVMTypeRef type) {
  LLVMValueRef f = LLVMGetNamedFunction(h->mod, name);
  if (f) return f;
  f = LLVMAddFunction(h->mod, name, type);
  LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(h->cx, LLVMGetEnumAttributeKindForName("nounwind", 8), 0));
  return f;
}

static LLVMValueRef begin(Host *h, const char *name, LLVMTypeRef type) {
  LLVMValueRef f = function(h, name, type);
  LLVMPositionBuilderAtEnd(h->b, LLVMAppendBasicBlockInContext(h->cx, f, ""));
  return f;
}

static void forward(Host *h, const HostForward *s) {
  LLVMTypeRef own[STUB_ARGS], theirs[STUB_ARGS];
  LLVMValueRef args[STUB_ARGS];
  unsigned n = 0, m = 0, count = (unsigned)strlen(s->signature) - 1;
  if (count + 1 >= STUB_ARGS) BUG("%s has too many arguments", s->name);
  for (; n < count; n++) own[n] = type_of(h, s->signature[n + 1]);
  LLVMTypeRef result = type_of(h, *s->signature);
  LLVMValueRef f = begin(h, s->name, LLVMFunctionType(result, own, n, 0));
  for (unsigned i = 0; i < n; i++) {
    theirs[m] = own[i];
    args[m++] = LLVMGetParam(f, i);
    if (i || !s->numbered) continue;
    theirs[m] = h->i32;
    args[m++] = LLVMConstInt(h->i32, s->number, 0);
  }
  LLVMTypeRef type = LLVMFunctionType(result, theirs, m, 0);
  LLVMValueRef call = LLVMBuildCall2(h->b, type, hide(function(h, s->to, type)), args, m, "");
  LLVMSetTailCall(call, 1);
  if (*s->signature == 'v')
    LLVMBuildRetVoid(h->b);
  else
    LLVMBuildRet(h->b, call);
}

/* LLVM marks the section of any global as loaded; the assembler does not. */
static void explain(Host *h, const char *text) {
  Buf b = {0};
  buf_put(&b, ".section " SINTER_EXPLAIN_SECTION ",\"\",%progbits\n");
  for (const char *s = text, *end; *s; s = end) {
    end = strchr(s, '\n');
    end = end ? end + 1 : s + strlen(s);
    buf_put(&b, ".ascii \"");
    for (; s < end; s++)
      if (*s == '"' || *s == '\\' || (unsigned char)*s < 32)
        buf_printf(&b, "\\%03o", (unsigned char)*s);
      else
        buf_write(&b, s, 1);
    buf_put(&b, "\"\n");
  }
  buf_put(&b, ".text\n");
  LLVMAppendModuleInlineAsm(h->mod, b.at, b.n);
  buf_free(&b);
}

static void fill(Host *h, const HostRequest *q) {
  const HostBlob *blob = q->blob;
  unsigned n = blob->kernels.n;
  LLVMTypeRef kernel = LLVMFunctionType(type_of(h, 'v'), (LLVMTypeRef[]){h->ptr, h->i64, h->i64, h->i32}, 4, 0);
  LLVMValueRef *table = ARENA_ARRAY(q->arena, LLVMValueRef, n + 1);
  for (unsigned i = 0; i < n; i++) table[i] = hide(function(h, blob->kernels.at[i], kernel));
  table[n] = LLVMConstNull(h->ptr); /* so that it is never empty */
  LLVMValueRef image[4];
  image[0] = bytes(h, "sinter_model", blob->model, blob->model_bytes);
  image[1] = constant(h, "sinter_kernels", LLVMConstArray2(h->ptr, table, n + 1), 8);
  image[2] = bytes(h, "sinter_consts", blob->consts, blob->consts_bytes);
  image[3] = blob->gpu_bytes ? bytes(h, "sinter_gpu", blob->gpu, blob->gpu_bytes) : LLVMConstNull(h->ptr);
  constant(h, "sinter_image", LLVMConstStructInContext(h->cx, image, 4, 0), 8);
  for (int i = 0; i < q->nforwards; i++) forward(h, &q->forwards[i]);
  begin(h, q->query, LLVMFunctionType(h->ptr, NULL, 0, 0));
  LLVMValueRef api = hide(LLVMAddGlobal(h->mod, h->ptr, "sinter_rt_api"));
  LLVMSetGlobalConstant(api, 1);
  LLVMBuildRet(h->b, api);
  if (q->explain) explain(h, q->explain);
}

bool emit_host(const HostRequest *q, EmitResult *out) {
  *out = (EmitResult){0};
  bool arm = !strcmp(q->target->arch, "aarch64");
  if (arm) {
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
  } else {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
  }
  char *why = NULL;
  LLVMTargetRef target;
  if (LLVMGetTargetFromTriple(q->target->triple, &target, &why)) {
    out->error = arena_printf(q->arena, "this LLVM makes no code for %s: %s", q->target->arch, why);
    LLVMDisposeMessage(why);
    return false;
  }
  LLVMTargetMachineRef tm = LLVMCreateTargetMachine(target, q->target->triple, arm ? "generic" : "x86-64", "",
                                                    LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
  Host h = {.cx = LLVMContextCreate()};
  h.mod = LLVMModuleCreateWithNameInContext("sinter", h.cx);
  h.b = LLVMCreateBuilderInContext(h.cx);
  h.ptr = LLVMPointerTypeInContext(h.cx, 0);
  h.i32 = LLVMInt32TypeInContext(h.cx);
  h.i64 = LLVMInt64TypeInContext(h.cx);
  LLVMSetTarget(h.mod, q->target->triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
  LLVMSetModuleDataLayout(h.mod, layout);
  fill(&h, q);
  if (LLVMVerifyModule(h.mod, LLVMReturnStatusAction, &why)) BUG("LLVM refuses the host module: %s", why);
  LLVMDisposeMessage(why);
  LLVMMemoryBufferRef obj;
  if (LLVMTargetMachineEmitToMemoryBuffer(tm, h.mod, LLVMObjectFile, &why, &obj))
    BUG("LLVM makes no host object: %s", why);
  out->size = LLVMGetBufferSize(obj);
  out->object = memcpy(arena_alloc(q->arena, out->size), LLVMGetBufferStart(obj), out->size);
  LLVMDisposeMemoryBuffer(obj);
  LLVMDisposeTargetData(layout);
  LLVMDisposeBuilder(h.b);
  LLVMDisposeModule(h.mod);
  LLVMContextDispose(h.cx);
  LLVMDisposeTargetMachine(tm);
  return true;
}
