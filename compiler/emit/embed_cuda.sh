#!/bin/sh
# embed_cuda.sh OUT.c DEPFILE FOLDER: writes the files of kernels/cuda as bytes into OUT.c (cuda_compile.h names them), and which
# they are into DEPFILE; the folder is named too, so that a new file is seen.
set -eu
out=$1 depfile=$2 folder=$3
files=$(cd "$folder" && ls | LC_ALL=C sort | grep -E '\.(h|cu)$')
{
  echo '/* Made by compiler/emit/embed_cuda.sh from kernels/cuda. */'
  echo '#include "cuda_compile.h"'
  for f in $files; do
    printf 'static const char text_%s[] = {' "$(echo "$f" | tr . _)"
    od -An -v -tu1 "$folder/$f" | sed -e 's/  */ /g' -e 's/^ //' -e 's/ *$//' -e 's/ /,/g' -e 's/$/,/'
    echo '0};'
  done
  echo 'const CudaHeader CUDA_HEADERS[] = {'
  for f in $files; do echo "  {\"$f\", text_$(echo "$f" | tr . _)},"; done
  echo '};'
  echo 'const int CUDA_HEADER_COUNT = sizeof CUDA_HEADERS / sizeof *CUDA_HEADERS;'
} >"$out.tmp"
mv "$out.tmp" "$out"
{ printf '%s: %s' "$out" "$folder"; for f in $files; do printf ' %s' "$folder/$f"; done; echo; } >"$depfile"
