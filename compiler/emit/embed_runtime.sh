#!/bin/sh
# embed_runtime.sh OUT.c ROOT CLANG LLD: compiles the runtime for artefacts (ROOT/runtime/cpu) into one relocatable object, what it
# does on a GPU (ROOT/runtime/cuda) into another, and the first with the program around a model (ROOT/runtime/exe and tool) into a
# third, makes the stand-in C library that artefacts are linked against from libc.list, and writes all as bytes into OUT.c (link.h
# names them).
set -eu
out=$1 root=$2 clang=$3 lld=$4
list=$root/compiler/emit/libc.list
tmp=$(mktemp -d "${TMPDIR:-/tmp}/sinter.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
bytes() { # NAME FILE
  printf 'static const unsigned char %s[] __attribute__((aligned(16))) = {\n' "$1"
  od -An -v -tu1 "$2" | sed -e 's/  */ /g' -e 's/^ //' -e 's/ *$//' -e 's/ /,/g' -e 's/$/,/'
  echo '};'
}
{
  echo '/* Made by compiler/emit/embed_runtime.sh from runtime/ and libc.list. */'
  echo '#include "link.h"'
} >"$out.tmp"
for arch in x86_64 aarch64; do
  case $arch in
  x86_64) triple=x86_64-unknown-linux-gnu version=GLIBC_2.2.5 ;;
  aarch64) triple=aarch64-unknown-linux-gnu version=GLIBC_2.17 ;;
  esac
  flags="--target=$triple -std=c17 -O2 -fPIC -fvisibility=hidden -ffreestanding -fno-builtin -fno-stack-protector -fno-ident"
  flags="$flags -fno-asynchronous-unwind-tables -fno-unwind-tables -ffunction-sections -fdata-sections -fno-addrsig -nostdlibinc"
  objects= program= gpu=
  for f in "$root"/runtime/cpu/*.c "$root"/runtime/cuda/*.c "$root"/runtime/tool/*.c "$root"/runtime/exe/*.c; do
    o=$tmp/$arch.$(basename "$f" .c).o
    case $f in */tool/artefact.c | */tool/dlpack.c | */tool/model_check.c | */tool/os_libc.c | */tool/section.c | */tool/stored.c) continue ;; esac # for `sinter` itself
    # shellcheck disable=SC2086
    "$clang" $flags "-I$root/runtime" "-I$root/runtime/cpu" "-I$root/runtime/cuda" "-I$root/runtime/tool" "-ffile-prefix-map=$root=." -c "$f" -o "$o"
    case $f in
    */cuda/*) gpu="$gpu $o" ;;
    */sys_libc.c) objects="$objects $o" ;;
    */cpu/*) objects="$objects $o" program="$program $o" ;;
    *) program="$program $o" ;;
    esac
  done
  # shellcheck disable=SC2086
  "$lld" -r --strip-debug $objects -o "$tmp/$arch.runtime.o"
  # shellcheck disable=SC2086
  "$lld" -r --strip-debug $gpu -o "$tmp/$arch.gpu.o"
  # shellcheck disable=SC2086
  "$lld" -r --strip-debug $program -o "$tmp/$arch.exe.o"
  sed -e 's/#.*//' -e '/^ *$/d' -e 's/.*/void &(void);void &(void) {}/' "$list" >"$tmp/$arch.libc.c"
  { echo "$version { global:"; sed -e 's/#.*//' -e '/^ *$/d' -e 's/$/;/' "$list"; echo 'local: *; };'; } >"$tmp/$arch.map"
  "$clang" --target=$triple -O1 -fPIC -ffreestanding -fno-builtin -fno-ident -fno-asynchronous-unwind-tables -w -c "$tmp/$arch.libc.c" -o "$tmp/$arch.libc.o"
  "$lld" -shared -s --build-id=none -soname libc.so.6 -z max-page-size=4096 -z noseparate-code --version-script "$tmp/$arch.map" "$tmp/$arch.libc.o" -o "$tmp/$arch.libc.so"
  bytes "runtime_$arch" "$tmp/$arch.runtime.o" >>"$out.tmp"
  bytes "gpu_$arch" "$tmp/$arch.gpu.o" >>"$out.tmp"
  bytes "exe_$arch" "$tmp/$arch.exe.o" >>"$out.tmp"
  bytes "libc_$arch" "$tmp/$arch.libc.so" >>"$out.tmp"
done
cat >>"$out.tmp" <<'C'
const LinkArch LINK_ARCHS[] = {
    {"x86_64", "elf_x86_64", runtime_x86_64, sizeof runtime_x86_64, gpu_x86_64, sizeof gpu_x86_64, exe_x86_64,
     sizeof exe_x86_64, libc_x86_64, sizeof libc_x86_64},
    {"aarch64", "aarch64linux", runtime_aarch64, sizeof runtime_aarch64, gpu_aarch64, sizeof gpu_aarch64, exe_aarch64,
     sizeof exe_aarch64, libc_aarch64, sizeof libc_aarch64},
    {0},
};
C
mv "$out.tmp" "$out"
