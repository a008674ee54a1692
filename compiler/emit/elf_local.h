/* An object file for other people's linkers must not show what is inside it: two models in one program carry the same
 * runtime. ld.lld -r keeps every global symbol; this makes those local that are not of the header. */
#ifndef SINTER_EMIT_ELF_LOCAL_H
#define SINTER_EMIT_ELF_LOCAL_H
#include "arena.h"
#include <stdbool.h>

/* `object`: an ELF64 little-endian relocatable object of n bytes, changed in place; its size stays. Every defined
 * symbol becomes local but those named in `keep`, which must all be defined; undefined ones stay as they are. Groups
 * lose GRP_COMDAT: the linker would take the one model's for the other's. False with a sentence part in *why ("its
 * symbol table lies outside the file") when the object is damaged or holds what is not known here; it is then half
 * changed. */
bool elf_make_local(Arena *, uint8_t *object, size_t n, const char *const *keep, int nkeep, const char **why);
#endif
