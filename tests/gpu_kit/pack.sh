#!/bin/bash
# pack.sh DIR [PROGRAM.sir ...]: a folder for a machine with a GPU: programs compiled for sm_80 and sm_90a, with the text of their
# kernels, the command line without its code generator, call_both, bench_gpu and the script `run`. Run from the root, after a build;
# wants NVRTC. KIT_GPU names other architectures. No PROGRAM: the models, those of the benchmark, tests/plan, and what bench.list
# measures beside them; KIT_SMALL: the latter of small sizes, for a GPU that is emulated.
set -eu
dir=$1
shift
[ ! -e "$dir" ] || [ -z "$(ls -A "$dir")" ] || { echo "pack.sh: $dir is not empty" >&2; exit 1; }
mkdir -p "$dir"/{artefacts,bench,bin,data,text,log}

compile() { # PROGRAM.sir FOLDER/NAME OPTION ...
  local text="$dir/text/${2##*/}" log="$dir/log/${2##*/}"
  build/sinter compile "$1" --gpu "${KIT_GPU:-sm_80,sm_90a}" --cpu v3 --no-explain --dump-dir "$text" -o "$dir/$2.so" "${@:3}" \
    2>"$log" || { echo "not packed: $1: $(grep -m 1 error "$log")" >&2 && touch "$dir/log/left" && rm -rf "$text" && return; }
  tar -czf "$text.tar.gz" -C "$text" $(cd "$text" && ls | grep '\.cu$')
  rm -rf "$text" "$dir/$2.h"
  gzip "$dir/$2.so" # `run` unpacks it
}
job() { # as compile, beside the others
  while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-$(nproc)}" ]; do wait -n || true; done
  compile "$@" &
}

measured() { # NAME PROGRAM.sir SMALL-OPTIONS OPTIONS: what bench.list measures, besides programs that are tested
  # shellcheck disable=SC2086
  if [ -n "${KIT_SMALL:-}" ]; then job "$2" "bench/$1" $3; else job "$2" "bench/$1" $4; fi
}

if [ $# = 0 ]; then
  models=tests/gpu_kit/models
  measured kit_attention $models/kit_attention.sir "-D T=8 -D W=128" ""
  measured kit_products $models/kit_products.sir "-D Q=16" ""
  measured kit_products_f32 $models/kit_products_f32.sir "-D Q=16" ""
  measured kit_products_tf32 $models/kit_products_f32.sir "-D Q=16 --precision tf32" "--precision tf32"
  measured kit_memory $models/kit_memory.sir "-D R=16 -D C=256" ""
  measured kit_gpt tests/gpu_runtime/gpt_bf16.sir "-D LAYERS=1" "-D LAYERS=4 -D WIDTH=512 -D VOCAB=4096 -D CONTEXT=512"
  set -- models/*.sir tests/bench/models/*.sir tests/plan/*.sir tests/gpu_text/tiles.sir
fi
for program in "$@"; do job "$program" "artefacts/$(basename "$program" .sir)"; done
wait
left=$([ ! -e "$dir/log/left" ] || echo 1)
rm -rf "$dir/log"
cp build/sinter build/tests/gpu_kit/call_both build/tests/gpu_kit/bench_gpu tests/gpu_kit/kit_peers.py "$dir/bin"
cp models/digits/test_x.npy models/digits/test_y.npy "$dir/data"
cp tests/gpu_kit/run tests/gpu_kit/bench.list "$dir"
size=$(du -sm "$dir" | cut -f1)
[ "$size" -lt "${KIT_MEGABYTES:-40}" ] || { echo "pack.sh: $dir has $size MB, and must stay below ${KIT_MEGABYTES:-40}" >&2; exit 1; }
echo "$dir: $(find "$dir" -name '*.so.gz' | wc -l) artefacts, $size MB; $dir/run test, $dir/run bench"
[ -z "$left" ]
