#include "scan.h"
#include <elf.h>
#include <llvm-c/Disassembler.h>
#include <llvm-c/Target.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Insn {
  uint64_t at, target; /* target of a branch, or UINT64_MAX */
  bool spill, stops;   /* stops: what follows is not reached from here */
  bool vector, product;
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

/* Whether a register of vectors is among the operands: "{ v1.4s }", "q0", "s12", "%zmm1". */
static bool touches_vector(const char *s, bool arm) {
  while (*s == '\t' || *s == ' ') s++;
  if (!arm) return strstr(s, "%xmm") || strstr(s, "%ymm") || strstr(s, "%zmm");
  for (const char *p = strchr(s, '\t'); p && p[1]; p++)
    if (strchr("\t ,{[", *p) && strchr("vqds", p[1]) && p[2] >= '0' && p[2] <= '9') return true;
  return false;
}
static bool is_product(const char *s) {
  while (*s == '\t' || *s == ' ') s++;
  return !strncmp(s, "fmla", 4) || !strncmp(s, "fmls", 4) || !strncmp(s, "vfm", 3) || !strncmp(s, "vfnm", 4);
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

/* Loops of the flow graph: how many are innermost, the vector stores to the stack in those, the one of most products.
 */
static void find_loops(const Insn *insn, int n, ScanFunction *f) {
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
      f->loops++;
      int products = 0, vectors = 0;
      for (int x = 0; x < nb; x++)
        for (int i = 0; body[x] && i < b[x].n; i++) {
          const Insn *y = &insn[b[x].first + i];
          f->loop_spills += y->spill, products += y->product, vectors += y->vector;
        }
      if (products > f->products) f->products = products, f->vectors = vectors;
    }
  free(leader), free(b), free(block), free(by_order), free(body), free(work);
}

static bool scan_function(LLVMDisasmContextRef d, const uint8_t *code, uint64_t size, bool arm, ScanFunction *f) {
  Insn *insn = calloc(size + 1, sizeof *insn);
  int n = 0;
  for (uint64_t at = 0; at < size;) {
    char text[256];
    size_t len = LLVMDisasmInstruction(d, (uint8_t *)(uintptr_t)code + at, size - at, at, text, sizeof text);
    if (!len) break;
    int64_t by, frame = frame_bytes(text, arm);
    bool always = false;
    if (frame > f->frame) f->frame = frame;
    Insn x = {
        at, UINT64_MAX, stores_vector_to_stack(text, arm), returns(text), touches_vector(text, arm), is_product(text)};
    if (branch(text, arm, &by, &always)) x.target = at + (arm ? 0 : len) + (uint64_t)by, x.stops = always;
    insn[n++] = x;
    f->spills += x.spill;
    at += len;
    f->bytes = at;
  }
  f->instructions = n;
  if (n) find_loops(insn, n, f);
  free(insn);
  return f->bytes == size;
}

void scan_open(void) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86Disassembler();
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64Disassembler();
}

const char *scan_object(const uint8_t *p, size_t size, const Target *t, const ScanVisit *visit, void *ctx) {
  const Elf64_Ehdr *h = (const void *)p;
  if (size < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) ||
      h->e_shoff + (uint64_t)h->e_shnum * sizeof(Elf64_Shdr) > size)
    return "not an object file";
  bool arm = h->e_machine == EM_AARCH64, linked = h->e_type == ET_DYN;
  if (!t) t = &TARGETS[arm ? LEVEL_A64 : LEVEL_V4]; /* v4 decodes v2 and v3 */
  LLVMDisasmContextRef d =
      LLVMCreateDisasmCPUFeatures(t->triple, arm ? t->cpu : TARGETS[LEVEL_V4].cpu, t->features, NULL, 0, NULL, NULL);
  if (!d) return "there is no disassembler for it";
  const Elf64_Shdr *s = (const void *)(p + h->e_shoff);
  for (int i = 0; i < h->e_shnum; i++) {
    if (s[i].sh_type != SHT_SYMTAB || s[i].sh_offset + s[i].sh_size > size || s[i].sh_link >= h->e_shnum) continue;
    const Elf64_Sym *sym = (const void *)(p + s[i].sh_offset);
    const char *names = (const char *)p + s[s[i].sh_link].sh_offset;
    bool whole = linked; /* an artefact: with the runtime in it, which is no business of ours */
    for (uint64_t k = 1; k < s[i].sh_size / sizeof *sym; k++)
      whole |= strstr(names + sym[k].st_name, "_query_v1") != NULL;
    for (uint64_t k = 1; k < s[i].sh_size / sizeof *sym; k++) {
      const char *name = names + sym[k].st_name;
      if (sym[k].st_shndx == SHN_UNDEF && *name && !whole && visit->import) visit->import(name, t, ctx);
      if (ELF64_ST_TYPE(sym[k].st_info) != STT_FUNC || sym[k].st_shndx >= h->e_shnum) continue;
      const Elf64_Shdr *text = &s[sym[k].st_shndx];
      uint64_t at = sym[k].st_value - (linked ? text->sh_addr : 0);
      const char *end = strrchr(name, '_');
      if (whole && (*name != 'k' || name[1] < '0' || name[1] > '9')) continue;
      if (at + sym[k].st_size > text->sh_size || text->sh_offset + text->sh_size > size) continue;
      ScanFunction f = {.name = name, .target = end && target_find(end + 1) ? target_find(end + 1) : t};
      f.decoded = scan_function(d, p + text->sh_offset + at, sym[k].st_size, arm, &f);
      visit->function(&f, ctx);
    }
  }
  LLVMDisasmDispose(d);
  return NULL;
}
