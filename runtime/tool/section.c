/* The explanation that the compiler leaves in an artefact: plain text in an ELF section of its own, which no loader
 * maps. Read from the file, so that it works for artefacts of other processors too. */
#include "rt.h"
#include "sinter.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A part of the file, with a NUL after it; NULL: it does not lie inside, or no memory. Released by the caller. */
static char *part(int file, uint64_t length, uint64_t at, uint64_t bytes) {
  if (bytes > length || at > length - bytes) return NULL;
  char *p = malloc((size_t)bytes + 1);
  if (!p) return NULL;
  p[bytes] = 0;
  if (!bytes || !sys_read_file(file, p, (size_t)bytes, at)) return p;
  free(p);
  return NULL;
}

static const Elf64_Shdr *find_section(const Elf64_Shdr *s, unsigned n, const char *names, uint64_t names_bytes) {
  for (unsigned i = 0; i < n; i++)
    if (s[i].sh_name < names_bytes && !strcmp(names + s[i].sh_name, SINTER_EXPLAIN_SECTION)) return &s[i];
  return NULL;
}

static char *read_section(int file, uint64_t length, bool *broken) {
  Elf64_Ehdr head;
  char *text = NULL, *names = NULL;
  *broken = true;
  if (length < sizeof head || sys_read_file(file, &head, sizeof head, 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) ||
      head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_shentsize != sizeof(Elf64_Shdr) || head.e_shstrndx >= head.e_shnum)
    return NULL;
  Elf64_Shdr *s = (Elf64_Shdr *)(void *)part(file, length, head.e_shoff, (uint64_t)head.e_shnum * sizeof *s);
  if (s) names = part(file, length, s[head.e_shstrndx].sh_offset, s[head.e_shstrndx].sh_size);
  if (names) {
    const Elf64_Shdr *found = find_section(s, head.e_shnum, names, s[head.e_shstrndx].sh_size);
    if (found) text = part(file, length, found->sh_offset, found->sh_size);
    *broken = found && !text;
  }
  free(names);
  free(s);
  return text;
}

bool sinter_artefact_explain(const char *path, char **text, char *why) {
  int file;
  uint64_t bytes;
  bool broken;
  *text = NULL;
  if (!sinter_artefact_verify(path, &bytes, NULL, why)) return false;
  int e = sys_open_file(path, &file, &bytes);
  if (e) {
    snprintf(why, SINTER_WHY, "cannot open %s: %s", path, rt_error(e));
    return false;
  }
  *text = read_section(file, bytes, &broken);
  sys_close_file(file);
  if (*text) return true;
  snprintf(why, SINTER_WHY,
           broken ? "the sections of %s cannot be read"
                  : "%s holds no explanation, for it was compiled with --no-explain: explain the model's file instead",
           path);
  return false;
}
