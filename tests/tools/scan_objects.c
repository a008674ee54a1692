/* Reads machine code and says what no test of values can. It fails on vector registers stored to the stack inside an
 * innermost loop of a kernel with a register tile (gemm, conv, attention, wino in its name), on stack frames above 4
 * KB, and on calls to anything but memcpy and its like. In other kernels it counts such stores: tests/objects holds the
 * count of each object to a recorded one.
 *
 *   scan_objects [--level v4] FILE.loop | FILE.o | FILE.so ...
 *
 * Kernels of a .loop file are emitted for every level (or the one given), AArch64 too; an object is read as it is, of
 * an artefact the kernels. One line a function: instructions, innermost loops, spills inside them, frame. Exit code 1
 * if anything is found. */
#include "expand_math.h"
#include "llvm_emit.h"
#include <elf.h>
#include <llvm-c/Disassembler.h>
#include <llvm-c/Target.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ALLOWED[] = {"memcpy", "memset", "memmove", ""};

typedef struct Insn {
  uint64_t at, target; /* target of a branch, or UINT64_MAX */
  bool spill, stops;   /* stops: what follows is not reached from here */
} Insn;
typedef struct Block {
  int first, n, to[2], order, dom, mark;
} Block; /* instructions; successors or -1; reverse postorder, its dominator */

/* "vmovups %zmm1, 64(%rsp)", "str q0, [sp, #16]", "stp q0, q1, [sp]": with an index register it is an array of the
 * kernel's. */
static bool stores_vector_to_stack(const char *s, bool arm) {
  while (*s == '\t' || *s == ' ') s++;
  if (arm) return !strncmp(s, "st", 2) && strstr(s, "\tq") && strstr(s, "[sp");
  const char *dest = strrchr(s, '('), *reg = strstr(s, "mm"), *comma = strrchr(s, ',');
  if (!dest || strncmp(dest, "(%rsp)", 6) || !comma || comma > dest || !reg || reg > dest) return false;
  if (*s == 'v') s++;
  return strncmp(s, "movss", 5) && strncmp(s, "movsd", 5) && strncmp(s, "movd", 4) &&
         strncmp(s, "movq", 4); /* scalars */
}

/* Where a branch goes, relative to pc (AArch64) or to the next instruction. */
static bool branch(const char *s, bool arm, int64_t *by, bool *always) {
  while (*s == '\t' || *s == ' ') s++;
  bool jump =
      arm ? (*s == 'b' && (s[1] == '.' || s[1] == '\t')) || !strncmp(s, "cb", 2) || !strncmp(s, "tb", 2) : *s == 'j';
  if (!jump) return false;
  const char *last = arm ? strrchr(s, '#') : strrchr(s, '\t');
  if (!last) return false;
  char *end;
  *always = arm ? s[0] == 'b' && s[1] == '\t' : !strncmp(s, "jmp", 3);
  *by = strtoll(last + 1, &end, 0);
  return end != last + 1;
}
static bool returns(const char *s) {
  while (*s == '\t' || *s == ' ') s++;
  return !strncmp(s, "ret", 3) || !strncmp(s, "ud2", 3) || !strncmp(s, "brk", 3);
}

static int64_t frame_bytes(const char *s, bool arm) {
  const char *p = arm ? strstr(s, "sub\tsp, sp, #") : strstr(s, "subq\t$");
  if (!p || (!arm && !strstr(s, ", %rsp"))) return 0;
  int64_t n = strtoll(p + strcspn(p, "#$") + 1, NULL, 0);
  return arm && strstr(s, "lsl #12") ? n << 12 : n;
}

static int insn_at(const Insn *insn, int n, uint64_t at) {
  int lo = 0, hi = n;
  while (lo < hi) {
    int m = (lo + hi) / 2;
    if (insn[m].at < at)
      lo = m + 1;
    else
      hi = m;
  }
  return lo < n && insn[lo].at == at ? lo : -1;
}

static void number(Block *b, int at, int *left,
                   int *by_order) { /* depth first, without recursion: a path may be long */
  int depth = 0, *stack = malloc(sizeof(int) * 100000);
  stack[depth++] = at;
  b[at].mark = 1;
  while (depth) {
    int x = stack[depth - 1], next = -1;
    for (int k = 0; k < 2; k++)
      if (b[x].to[k] >= 0 && !b[b[x].to[k]].mark) next = b[x].to[k];
    if (next >= 0 && depth < 100000) {
      b[next].mark = 1;
      stack[depth++] = next;
    } else {
      b[x].order = --*left;
      by_order[*left] = x;
      depth--;
    }
  }
  free(stack);
}

/* Loops of the flow graph: how many are innermost, and the vector stores to the stack in those. */
static void find_loops(const Insn *insn, int n, int *inner, int *spills) {
  int *leader = calloc((size_t)n + 1, sizeof *leader), nb = 0;
  leader[0] = 1;
  for (int i = 0; i < n; i++) {
    int t = insn[i].target == UINT64_MAX ? -1 : insn_at(insn, n, insn[i].target);
    if (t >= 0) leader[t] = 1;
    if (t >= 0 || insn[i].stops) leader[i + 1] = 1;
  }
  for (int i = 0; i < n; i++) nb += leader[i];
  Block *b = calloc((size_t)nb + 1, sizeof *b);
  int *block = calloc((size_t)n + 1, sizeof *block), *by_order = calloc((size_t)nb + 1, sizeof(int)),
      *body = calloc((size_t)nb + 1, sizeof(int)), *work = calloc((size_t)nb + 1, sizeof(int));
  for (int i = 0, k = -1; i < n; i++) {
    if (leader[i]) b[++k] = (Block){i, 0, {-1, -1}, -1, -1, 0};
    b[k].n++;
    block[i] = k;
  }
  for (int k = 0; k < nb; k++) {
    const Insn *last = &insn[b[k].first + b[k].n - 1];
    int t = last->target == UINT64_MAX ? -1 : insn_at(insn, n, last->target);
    if (t >= 0) b[k].to[0] = block[t];
    if (!last->stops && k + 1 < nb) b[k].to[1] = k + 1;
  }
  int left = nb;
  number(b, 0, &left, by_order);
  b[0].dom = 0;
  for (bool changed = true; changed;) { /* dominators, after Cooper, Harvey and Kennedy */
    changed = false;
    for (int o = left; o < nb; o++) {
      int x = by_order[o], d = x ? -1 : 0;
      for (int p = 0; p < nb && x; p++)
        if ((b[p].to[0] == x || b[p].to[1] == x) && b[p].dom >= 0) {
          int q = p;
          if (d < 0) d = q;
          while (d != q) {
            while (b[d].order > b[q].order) d = b[d].dom;
            while (b[q].order > b[d].order) q = b[q].dom;
          }
        }
      if (b[x].dom != d) b[x].dom = d, changed = true;
    }
  }
  for (int pass = 0; pass < 2; pass++) /* headers first, then the loops without another header inside */
    for (int h = 0; h < nb; h++) {
      memset(body, 0, (size_t)nb * sizeof *body);
      int nw = 0;
      for (int p = 0; p < nb; p++) {
        if (b[p].dom < 0 || (b[p].to[0] != h && b[p].to[1] != h)) continue;
        int d = p;
        while (d != h && d) d = b[d].dom;
        if (d == h && !body[p]) body[p] = 1, work[nw++] = p; /* an edge back to a dominator */
      }
      if (!nw) {
        if (!pass) b[h].mark = 0;
        continue;
      }
      if (!pass) {
        b[h].mark = 2;
        continue;
      }
      body[h] = 1;
      while (nw) {
        int x = work[--nw];
        if (x == h) continue;
        for (int p = 0; p < nb; p++)
          if (b[p].dom >= 0 && (b[p].to[0] == x || b[p].to[1] == x) && !body[p]) body[p] = 1, work[nw++] = p;
      }
      bool innermost = true;
      for (int x = 0; x < nb; x++) innermost &= x == h || !body[x] || b[x].mark != 2;
      if (!innermost) continue;
      ++*inner;
      for (int x = 0; x < nb; x++)
        for (int i = 0; body[x] && i < b[x].n; i++) *spills += insn[b[x].first + i].spill;
    }
  free(leader), free(b), free(block), free(by_order), free(body), free(work);
}

/* What is wrong with one function; prints its line. */
static int scan_function(LLVMDisasmContextRef d, const char *name, const uint8_t *code, uint64_t size, bool arm,
                         const char *level, bool arrays) {
  Insn *insn = calloc(size + 1, sizeof *insn);
  int n = 0, inner = 0, spills = 0, all = 0, bad = 0;
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
    bool always = false;
    if (f > frame) frame = f;
    Insn x = {at, UINT64_MAX, stores_vector_to_stack(text, arm), returns(text)};
    if (branch(text, arm, &by, &always)) x.target = at + (arm ? 0 : len) + (uint64_t)by, x.stops = always;
    insn[n++] = x;
    all += x.spill;
    at += len;
  }
  bool tile = strstr(name, "gemm") || strstr(name, "conv") || strstr(name, "attention") || strstr(name, "wino");
  if (n) find_loops(insn, n, &inner, &spills);
  if (tile && spills && !arrays) bad = 1;
  if (frame > 4096) bad = 1;
  printf("%s %-40s %5d instructions, %2d innermost loops, %d vector spills in them, %d in all, frame %ld%s\n", level,
         name, n, inner, spills, all, (long)frame,
         bad      ? "  <-- not allowed"
         : spills ? "  (a formula, or arrays of the task)"
                  : "");
  free(insn);
  return bad;
}

/* ELF64, little-endian; the file is ours, but a damaged one only gives a sentence. */
static int scan_object(const uint8_t *p, size_t size, const char *what, const Target *t,
                       bool (*has_arrays)(const char *, void *), void *ctx) {
  const Elf64_Ehdr *h = (const void *)p;
  if (size < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) ||
      h->e_shoff + (uint64_t)h->e_shnum * sizeof(Elf64_Shdr) > size)
    return printf("%s: not an object file\n", what), 1;
  bool arm = h->e_machine == EM_AARCH64, linked = h->e_type == ET_DYN;
  if (!t) t = &TARGETS[arm ? LEVEL_A64 : LEVEL_V4]; /* v4 decodes v2 and v3 */
  LLVMDisasmContextRef d =
      LLVMCreateDisasmCPUFeatures(t->triple, arm ? t->cpu : TARGETS[LEVEL_V4].cpu, t->features, NULL, 0, NULL, NULL);
  if (!d) return printf("%s: no disassembler for %s\n", what, t->arch), 1;
  const Elf64_Shdr *s = (const void *)(p + h->e_shoff);
  int bad = 0;
  for (int i = 0; i < h->e_shnum; i++) {
    if (s[i].sh_type != SHT_SYMTAB || s[i].sh_offset + s[i].sh_size > size || s[i].sh_link >= h->e_shnum) continue;
    const Elf64_Sym *sym = (const void *)(p + s[i].sh_offset);
    const char *names = (const char *)p + s[s[i].sh_link].sh_offset;
    bool whole = linked; /* an artefact: with the runtime in it, which is no business of this program */
    for (uint64_t k = 1; k < s[i].sh_size / sizeof *sym; k++)
      whole |= !strcmp(names + sym[k].st_name, "sinter_query_v1");
    for (uint64_t k = 1; k < s[i].sh_size / sizeof *sym; k++) {
      const char *name = names + sym[k].st_name;
      if (sym[k].st_shndx == SHN_UNDEF && *name && !whole) {
        bool ok = false;
        for (int a = 0; *ALLOWED[a]; a++) ok |= !strcmp(ALLOWED[a], name);
        if (!ok) bad |= printf("%s %s: calls %s, which no artefact has\n", t->name, what, name) > 0;
      }
      if (ELF64_ST_TYPE(sym[k].st_info) != STT_FUNC || sym[k].st_shndx >= h->e_shnum) continue;
      const Elf64_Shdr *text = &s[sym[k].st_shndx];
      uint64_t at = sym[k].st_value - (linked ? text->sh_addr : 0);
      const char *end = strrchr(name, '_'), *level = t->name;
      if (whole && (*name != 'k' || name[1] < '0' || name[1] > '9')) continue; /* the runtime */
      if (end && target_find(end + 1)) level = end + 1;
      if (at + sym[k].st_size > text->sh_size || text->sh_offset + text->sh_size > size) continue;
      bad |= scan_function(d, name, p + text->sh_offset + at, sym[k].st_size, arm, level,
                           has_arrays && has_arrays(name, ctx));
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

/* A tile of registers and a vector width are made for one level; others would spill them, so they are not asked. */
static bool fits(const LoopModule *m, Ctx *c, const Target *t, int kernel) {
  LoopModule one = *m;
  Kernel *k = m->kernels.at[kernel];
  one.kernels.at = &k;
  one.kernels.n = 1;
  one.plans.n = one.entries.n = 0;
  bool ok = loop_verify(&one, t->name);
  diag_reset(c->diag);
  for (Ex e = 1; e < k->ex.n; e++) {
    const Expr *x = ex_at(k, e);
    if (x->dtype != DT_IDX && x->dtype != DT_BOOL && x->lanes * (int)dtype_size((DType)x->dtype) > t->vector_bytes)
      ok = false;
  }
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
  expand_math_module(m);
  for (int l = 0; l < LEVEL_COUNT; l++) {
    const Target *t = &TARGETS[l];
    if (level && strcmp(level, t->name)) continue;
    for (uint32_t i = 0; i < m->kernels.n; i++) {
      if (!fits(m, &c, t, (int)i)) {
        printf("%s %s: made for another level\n", t->name, m->kernels.at[i]->name);
        continue;
      }
      EmitRequest q = {.module = m, .target = t, .first = (int)i, .count = 1, .arena = a};
      EmitResult r;
      if (!emit_object(&q, &r))
        printf("%s %s: %s\n", t->name, m->kernels.at[i]->name, r.error);
      else
        bad |= scan_object(r.object, r.size, m->kernels.at[i]->name, t, kernel_arrays, m);
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
    if (!p)
      bad |= printf("%s: %s\n", argv[i], why) > 0;
    else if (len > 5 && !strcmp(argv[i] + len - 5, ".loop"))
      bad |= scan_loops(argv[i], p, n, level);
    else
      bad |= scan_object((const uint8_t *)p, n, argv[i], level ? target_find(level) : NULL, NULL, NULL);
    arena_free(a);
  }
  return bad;
}
