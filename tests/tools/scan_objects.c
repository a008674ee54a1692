/* Reads machine code and says what no test of values can: vector registers stored to the stack inside an innermost loop
 * (a register tile too large for its level), stack frames above 4 KB, calls to anything but memcpy and its like.
 *
 *   scan_objects [--level v4] FILE.loop | FILE.o ...
 *
 * Kernels of a .loop file are emitted for every level (or the one given), AArch64 too; an object is read as it is. One
 * line a function: instructions, innermost loops, spills inside them, frame. Exit code 1 if anything is found. */
#include "expand_math.h"
#include "llvm_emit.h"
#include <elf.h>
#include <llvm-c/Disassembler.h>
#include <llvm-c/Target.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ALLOWED[] = {"memcpy", "memset", "memmove", ""};

typedef struct Insn { uint64_t at; uint32_t size; bool spill; } Insn;
typedef struct Loop { uint64_t from, to; } Loop;

/* "vmovups %zmm1, 64(%rsp)", "str q0, [sp, #16]", "stp q0, q1, [sp]": with an index register it is an array of the kernel's. */
static bool stores_vector_to_stack(const char *s, bool arm) {
  if (arm) return (strstr(s, "\tst") == s || strstr(s, "st") == s) && (strstr(s, "\tq") || strstr(s, " q")) && strstr(s, "[sp");
  const char *dest = strrchr(s, '(');
  if (!dest || strncmp(dest, "(%rsp)", 6) || strstr(s, "push")) return false;
  const char *reg = strstr(s, "mm"); /* xmm, ymm, zmm before the destination */
  return reg && reg < dest && strchr(s, ',') && dest > strrchr(s, ',');
}

static bool backward_branch(const char *s, bool arm, int64_t *by) {
  while (*s == '\t' || *s == ' ') s++;
  bool jump = arm ? (*s == 'b' && (s[1] == '.' || s[1] == '\t')) || !strncmp(s, "cb", 2) || !strncmp(s, "tb", 2) : *s == 'j';
  if (!jump) return false;
  const char *last = arm ? strrchr(s, '#') : strrchr(s, '\t');
  if (!last) return false;
  char *end;
  *by = strtoll(last + 1, &end, 0);
  return end != last + 1 && *by < 0;
}

static int64_t frame_bytes(const char *s, bool arm) {
  const char *p = arm ? strstr(s, "sub\tsp, sp, #") : strstr(s, "subq\t$");
  if (!p || (!arm && !strstr(s, ", %rsp"))) return 0;
  int64_t n = strtoll(p + strcspn(p, "#$") + 1, NULL, 0);
  return arm && strstr(s, "lsl #12") ? n << 12 : n;
}

/* What is wrong with one function; prints its line. */
static int scan_function(LLVMDisasmContextRef d, const char *name, const uint8_t *code, uint64_t size, bool arm, const char *level, bool arrays) {
  Insn *insn = calloc(size + 1, sizeof *insn);
  Loop *loop = calloc(size + 1, sizeof *loop);
  int n = 0, loops = 0, inner = 0, spills = 0, outside = 0, bad = 0;
  int64_t frame = 0;
  for (uint64_t at = 0; at < size;) {
    char text[256];
    size_t len = LLVMDisasmInstruction(d, (uint8_t *)(uintptr_t)code + at, size - at, at, text, sizeof text);
    if (!len) {
      printf("%s %s: no instruction at byte %lu\n", level, name, (unsigned long)at);
      bad = 1;
      break;
    }
    int64_t by, f = frame_bytes(text, arm);
    if (f > frame) frame = f;
    if (backward_branch(text, arm, &by)) loop[loops++] = (Loop){at + (arm ? 0 : len) + (uint64_t)by, at};
    insn[n++] = (Insn){at, (uint32_t)len, stores_vector_to_stack(text, arm)};
    outside += insn[n - 1].spill;
    at += len;
  }
  for (int i = 0; i < loops; i++) {
    bool innermost = true;
    for (int j = 0; j < loops; j++) innermost &= i == j || loop[j].from < loop[i].from || loop[j].to > loop[i].to || (loop[j].from == loop[i].from && loop[j].to > loop[i].to);
    if (!innermost) continue;
    inner++;
    for (int k = 0; k < n; k++) spills += insn[k].spill && insn[k].at >= loop[i].from && insn[k].at <= loop[i].to;
  }
  if (spills && !arrays) bad = 1;
  if (frame > 4096) bad = 1;
  printf("%s %-40s %5d instructions, %2d innermost loops, %d vector spills in them, %d in all, frame %ld%s\n", level, name, n, inner, spills, outside, (long)frame,
         bad ? "  <-- not allowed" : spills ? "  (arrays of the task)" : "");
  free(insn);
  free(loop);
  return bad;
}

/* ELF64, little-endian; the file is ours, but a damaged one only gives a sentence. */
static int scan_object(const uint8_t *p, size_t size, const char *what, const Target *t, bool (*has_arrays)(const char *, void *), void *ctx) {
  const Elf64_Ehdr *h = (const void *)p;
  if (size < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_shoff + (uint64_t)h->e_shnum * sizeof(Elf64_Shdr) > size) return printf("%s: not an object file\n", what), 1;
  bool arm = h->e_machine == EM_AARCH64;
  if (!t) t = &TARGETS[arm ? LEVEL_A64 : LEVEL_V4]; /* v4 decodes v2 and v3 */
  LLVMDisasmContextRef d = LLVMCreateDisasmCPUFeatures(t->triple, arm ? t->cpu : TARGETS[LEVEL_V4].cpu, t->features, NULL, 0, NULL, NULL);
  if (!d) return printf("%s: no disassembler for %s\n", what, t->arch), 1;
  const Elf64_Shdr *s = (const void *)(p + h->e_shoff);
  int bad = 0;
  for (int i = 0; i < h->e_shnum; i++) {
    if (s[i].sh_type != SHT_SYMTAB || s[i].sh_offset + s[i].sh_size > size || s[i].sh_link >= h->e_shnum) continue;
    const Elf64_Sym *sym = (const void *)(p + s[i].sh_offset);
    const char *names = (const char *)p + s[s[i].sh_link].sh_offset;
    for (uint64_t k = 1; k < s[i].sh_size / sizeof *sym; k++) {
      const char *name = names + sym[k].st_name;
      if (sym[k].st_shndx == SHN_UNDEF && *name) {
        bool ok = false;
        for (int a = 0; *ALLOWED[a]; a++) ok |= !strcmp(ALLOWED[a], name);
        if (!ok) bad |= printf("%s %s: calls %s, which no artefact has\n", t->name, what, name) > 0;
      }
      if (ELF64_ST_TYPE(sym[k].st_info) != STT_FUNC || sym[k].st_shndx >= h->e_shnum) continue;
      const Elf64_Shdr *text = &s[sym[k].st_shndx];
      if (sym[k].st_value + sym[k].st_size > text->sh_size || text->sh_offset + text->sh_size > size) continue;
      bad |= scan_function(d, name, p + text->sh_offset + sym[k].st_value, sym[k].st_size, arm, t->name, has_arrays && has_arrays(name, ctx));
    }
  }
  LLVMDisasmDispose(d);
  return bad;
}

static bool kernel_arrays(const char *symbol, void *ctx) { /* k3_name_stage_v4 */
  const LoopModule *m = ctx;
  unsigned i = (unsigned)strtoul(symbol + 1, NULL, 10);
  return *symbol == 'k' && i < m->kernels.n && m->kernels.at[i]->bufs.n > (uint32_t)m->kernels.at[i]->nparams;
}

/* A tile of registers is made for one level; the others would spill it, so they are not asked. */
static bool fits(const LoopModule *m, Ctx *c, const Target *t, int kernel) {
  LoopModule one = *m;
  Kernel *k = m->kernels.at[kernel];
  one.kernels.at = &k;
  one.kernels.n = 1;
  one.plans.n = one.entries.n = 0;
  bool ok = loop_verify(&one, t->name);
  diag_reset(c->diag);
  return ok;
}

static int scan_loops(const char *path, const char *text, size_t n, const char *level) {
  Arena *a = arena_new();
  StrTab *names = strtab_new(a);
  Ctx c = {a, names, sym_tab_new(a, names), diag_new(a)};
  LoopModule *m;
  int bad = 0;
  if (!loop_parse(&c, path, text, n, &m)) {
    Buf b = {0};
    diag_print(c.diag, &b);
    printf("%s", b.at);
    return 1;
  }
  for (int l = 0; l < LEVEL_COUNT; l++) {
    const Target *t = &TARGETS[l];
    if (level && strcmp(level, t->name)) continue;
    for (uint32_t i = 0; i < m->kernels.n; i++) {
      if (!fits(m, &c, t, (int)i)) {
        printf("%s %s: made for another level\n", t->name, m->kernels.at[i]->name);
        continue;
      }
      expand_math_kernel(m->kernels.at[i]);
      EmitRequest q = {.module = m, .target = t, .first = (int)i, .count = 1, .arena = a};
      EmitResult r;
      if (!emit_object(&q, &r)) printf("%s %s: %s\n", t->name, m->kernels.at[i]->name, r.error);
      else bad |= scan_object(r.object, r.size, m->kernels.at[i]->name, t, kernel_arrays, m);
    }
  }
  arena_free(a);
  return bad;
}

int main(int argc, char **argv) {
  const char *level = NULL, *why;
  int bad = 0;
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86Disassembler();
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64Disassembler();
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--level") && i + 1 < argc) {
      level = argv[++i];
      continue;
    }
    Arena *a = arena_new();
    size_t n, len = strlen(argv[i]);
    char *p = file_read(a, argv[i], &n, &why);
    if (!p) bad |= printf("%s: %s\n", argv[i], why) > 0;
    else if (len > 5 && !strcmp(argv[i] + len - 5, ".loop")) bad |= scan_loops(argv[i], p, n, level);
    else bad |= scan_object((const uint8_t *)p, n, argv[i], level ? target_find(level) : NULL, NULL, NULL);
    arena_free(a);
  }
  return bad;
}
