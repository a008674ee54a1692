#include "cubin.h"
#include "elf_file.h"
#include <stdlib.h>
#include <string.h>

enum { CUDA_MACHINE = 190, CUDA_ABI = 8 };
enum { CUDA_KERNEL = 0x10 };     /* in st_other of a function's symbol */
enum { RESERVED_SHARED = 1024 }; /* what the system takes of shared memory, counted in the section since sm_90 */
enum { MAX_PARAMS = 4096 };

/* Records of .nv.info: form, attribute, then 16 bits: a value, or in the last form how many bytes follow. */
enum { FORM_BYTES = 4, RECORD = 4 };
typedef enum Attribute {
  ATTR_MAX_THREADS = 0x05,      /* three words */
  ATTR_REQUIRED_THREADS = 0x10, /* the same */
  ATTR_FRAME_SIZE = 0x11,       /* symbol, bytes */
  ATTR_PARAM = 0x17,            /* index, ordinal and offset of 16 bits, flags with the size from bit 18 on */
  ATTR_PARAM_BYTES = 0x19,      /* the value */
  ATTR_REGISTERS = 0x2f,        /* symbol, number */
  ATTR_LARGE_PARAM = 0x45,      /* as ATTR_PARAM, with the size in the low 24 bits; when there are more than 4 KB */
} Attribute;

typedef struct Reader {
  Arena *arena;
  ElfFile file;
  const char *section_names;
  uint32_t section_names_size;
  const char **why;
} Reader;

static bool bad(Reader *r, const char *what) {
  *r->why = what;
  return false;
}

static const char *section_name(const Reader *r, uint32_t i) {
  uint32_t at = r->file.section[i].sh_name;
  return at < r->section_names_size ? r->section_names + at : "";
}

/* The section "PREFIX KERNEL"; NULL: none. */
static const Elf64_Shdr *section_of(const Reader *r, const char *prefix, const char *kernel) {
  size_t n = strlen(prefix);
  for (uint32_t i = 1; i < r->file.nsections; i++)
    if (!strncmp(section_name(r, i), prefix, n) && !strcmp(section_name(r, i) + n, kernel)) return &r->file.section[i];
  return NULL;
}

static uint32_t word(const uint8_t *p, int k) {
  uint32_t w;
  memcpy(&w, p + 4 * k, sizeof w);
  return w;
}

static bool add_param(Reader *r, CubinKernel *k, uint32_t place, uint32_t size) {
  uint32_t ordinal = place & 0xffff, offset = place >> 16;
  if (ordinal >= MAX_PARAMS) return bad(r, "a kernel has too many parameters");
  if (ordinal >= k->nparams) {
    CubinParam *more = ARENA_ARRAY(r->arena, CubinParam, ordinal + 1);
    if (k->nparams) memcpy(more, k->param, k->nparams * sizeof *more);
    k->param = more;
    k->nparams = ordinal + 1;
  }
  k->param[ordinal] = (CubinParam){offset, size};
  return true;
}

static bool take_attribute(Reader *r, CubinKernel *k, uint32_t attribute, uint32_t value, const uint8_t *p,
                           uint32_t n) {
  switch (attribute) {
  case ATTR_MAX_THREADS:
  case ATTR_REQUIRED_THREADS:
    if (n != 12) return bad(r, "the attributes of a kernel are damaged");
    for (int i = 0; i < 3; i++) k->threads[i] = word(p, i);
    return true;
  case ATTR_PARAM:
  case ATTR_LARGE_PARAM:
    if (n != 12) return bad(r, "the attributes of a kernel are damaged");
    return add_param(r, k, word(p, 1), attribute == ATTR_PARAM ? word(p, 2) >> 18 : word(p, 2) & 0xffffff);
  case ATTR_PARAM_BYTES: k->param_bytes = value; return true;
  default: return true;
  }
}

/* Of .nv.info: those attributes whose symbol is the kernel. */
static bool take_common(Reader *r, CubinKernel *k, uint32_t attribute, const uint8_t *p, uint32_t n) {
  if (attribute != ATTR_REGISTERS && attribute != ATTR_FRAME_SIZE) return true;
  if (n != 8 || word(p, 0) >= r->file.nsymbols) return bad(r, "the attributes of a kernel are damaged");
  if (strcmp(r->file.symbol_names + r->file.symbol[word(p, 0)].st_name, k->name)) return true;
  *(attribute == ATTR_REGISTERS ? &k->registers : &k->frame) = word(p, 1);
  return true;
}

static bool read_attributes(Reader *r, CubinKernel *k, const Elf64_Shdr *s, bool common) {
  uint32_t n;
  const uint8_t *p = elf_records(&r->file, s, 1, &n);
  if (!p) return bad(r, "the attributes of a kernel are damaged");
  while (n >= RECORD) {
    uint32_t attribute = p[1], value = p[2] | (uint32_t)p[3] << 8, bytes = p[0] == FORM_BYTES ? value : 0;
    p += RECORD;
    n -= RECORD;
    if (bytes > n) return bad(r, "the attributes of a kernel are damaged");
    if (!(common ? take_common(r, k, attribute, p, bytes) : take_attribute(r, k, attribute, value, p, bytes)))
      return false;
    p += bytes;
    n -= bytes;
  }
  return n == 0 || bad(r, "the attributes of a kernel are damaged");
}

static bool read_kernel(Reader *r, uint32_t sm, CubinKernel *k) {
  const Elf64_Shdr *text = section_of(r, ".text.", k->name), *own = section_of(r, ".nv.info.", k->name),
                   *common = section_of(r, ".nv.info", ""), *shared = section_of(r, ".nv.shared.", k->name);
  uint32_t n;
  if (!text || !common) return bad(r, "the code of a kernel is missing");
  k->code = elf_records(&r->file, text, 1, &n);
  if (!k->code || n % CUBIN_INSTRUCTION) return bad(r, "the code of a kernel is damaged");
  k->ninstructions = n / CUBIN_INSTRUCTION;
  if (!read_attributes(r, k, common, true) || (own && !read_attributes(r, k, own, false))) return false;
  uint64_t reserved = sm >= 90 ? RESERVED_SHARED : 0;
  if (shared) {
    if (shared->sh_size < reserved || shared->sh_size > INT32_MAX)
      return bad(r, "the shared memory of a kernel is damaged");
    k->shared = (uint32_t)(shared->sh_size - reserved);
  }
  return true;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const CubinKernel *)a)->name, ((const CubinKernel *)b)->name);
}

static bool is_kernel(const Elf64_Sym *s) {
  return ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_other & CUDA_KERNEL && s->st_shndx != SHN_UNDEF;
}

bool cubin_read(Arena *a, const void *p, size_t n, Cubin *out, const char **why) {
  Reader r = {.arena = a, .why = why};
  uint8_t *file = (uint8_t *)(uintptr_t)p; /* an ElfFile may be written, but is not here */
  if (!elf_sections(&r.file, file, n, ET_EXEC, "it is no cubin", why)) return false;
  const Elf64_Ehdr *h = p;
  if (h->e_machine != CUDA_MACHINE) return bad(&r, "it is no cubin");
  if (h->e_ident[EI_ABIVERSION] != CUDA_ABI) return bad(&r, "it is no cubin of CUDA 13");
  r.section_names = h->e_shstrndx < r.file.nsections
                        ? elf_text(&r.file, &r.file.section[h->e_shstrndx], &r.section_names_size)
                        : NULL;
  if (!r.section_names) return bad(&r, "the names of its sections are damaged");
  if (!elf_symbols(&r.file, why)) return false;
  *out = (Cubin){.sm = h->e_flags >> 8 & 0xffff, .kernel = ARENA_ARRAY(a, CubinKernel, r.file.nsymbols)};
  for (uint32_t i = 0; i < r.file.nsymbols; i++) {
    if (!is_kernel(&r.file.symbol[i])) continue;
    CubinKernel *k = &out->kernel[out->nkernels++];
    k->name = r.file.symbol_names + r.file.symbol[i].st_name;
    if (!read_kernel(&r, out->sm, k)) return false;
  }
  qsort(out->kernel, out->nkernels, sizeof *out->kernel, by_name);
  return true;
}
