#!/bin/bash
# pack.sh DIR [PROGRAM.sir ...]: a folder for a machine with a GPU: programs compiled for sm_80 and sm_90a, with the text of their
# kernels, the command line without its code generator, call_both, bench_gpu and the script `run`. Run from the root, after a build;
# wants NVRTC. KIT_GPU names other architectures. No PROGRAM: the models, those of the benchmark, and tests/plan.
set -eu
dir=$1
shift
[ ! -e "$dir" ] || [ -z "$(ls -A "$dir")" ] || { echo "pack.sh: $dir is not empty" >&2; exit 1; }
[ $# != 0 ] || set -- models/*.sir tests/bench/models/*.sir tests/plan/*.sir
mkdir -p "$dir"/{artefacts,bin,data,text}
left=0
for program in "$@"; do
  name=$(basename "$program" .sir)
  if ! build/sinter compile "$program" --gpu "${KIT_GPU:-sm_80,sm_90a}" --no-explain --dump-dir "$dir/text/$name" \
    -o "$dir/artefacts/$name.so" 2>"$dir/log.txt"; then
    echo "not packed: $program: $(grep -m 1 error "$dir/log.txt")" >&2
    left=$((left + 1))
    rm -rf "$dir/text/$name"
    continue
  fi
  find "$dir/text/$name" -type f ! -name '*.cu' -delete
done
rm -f "$dir"/artefacts/*.h "$dir/log.txt"
cp build/sinter build/tests/gpu_kit/call_both build/tests/gpu_kit/bench_gpu "$dir/bin"
cp models/digits/test_x.npy models/digits/test_y.npy "$dir/data"
cp tests/gpu_kit/run tests/gpu_kit/bench.list "$dir"
size=$(du -sm "$dir" | cut -f1)
[ "$size" -le 40 ] || { echo "pack.sh: $dir has $size MB, above the 40 that it may have" >&2; exit 1; }
echo "$dir: $(find "$dir/artefacts" -name '*.so' | wc -l) artefacts, $size MB; $dir/run test, $dir/run bench"
[ $left = 0 ]
