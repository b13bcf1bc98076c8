#!/bin/sh
# Builds the engine with its CUDA part and runs the CUDA cases: for a bare machine with a GPU,
# nvcc and gcc. CMake is used where it is, else the compilers directly, on all cores. What comes
# after the engine (files, models) is left out: it needs libraries and knows no CUDA.
# A CUDA case that is skipped is a failure here.
set -eu
cd "$(dirname "$0")/.."
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
rooms='base tensor graph kernels ops backend'
test_folders='backend ops'
[ -x "$nvcc" ] || { echo 'check-cuda: no nvcc here' >&2; exit 1; }

with_cmake() {
  export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
  cmake --preset cuda -DBDPO_ROOMS="$(echo $rooms | tr ' ' ';')" \
    -DBDPO_TEST_DIRS="$(echo $test_folders | tr ' ' ';')" >/dev/null
  cmake --build --preset cuda --target bdpo_test
}

sources() {
  for room in $rooms; do echo src/"$room"/*.c; done
  echo tests/*.c
  for folder in $test_folders; do echo tests/"$folder"/*.c; done
}

# The same compilations, without CMake; matrix products by our own kernels.
by_hand() {
  out=build/cuda
  mkdir -p $out/generated $out/objects
  printf '#define BDPO_HAVE_DNNL 0\n#define BDPO_HAVE_OPENBLAS 0\n' >$out/generated/build_config.h
  flags="-std=c17 -O3 -D_POSIX_C_SOURCE=200809L -ffp-contract=off -fno-math-errno -fopenmp -fPIC
    -Wall -Wextra -Iinclude -Isrc -Itests -I$out/generated -DBDPO_TESTS_DIR=\"$PWD/tests\""
  avx2= avx512=
  if [ "$(uname -m)" = x86_64 ]; then
    avx2='-mavx2 -mfma'
    avx512='-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512'
  fi
  architectures='-gencode arch=compute_80,code=[compute_80,sm_80] -gencode arch=compute_90a,code=sm_90a'
  {
    for source in $(sources); do
      object=$out/objects/$(basename "$source" .c)
      case $source in
        */cuda_absent.c) ;;
        *_isa.c)
          echo "gcc $flags -Wno-psabi -DBDPO_ISA=portable -c $source -o ${object}_portable.o"
          echo "gcc $flags -Wno-psabi $avx2 -DBDPO_ISA=avx2 -c $source -o ${object}_avx2.o"
          echo "gcc $flags -Wno-psabi $avx512 -DBDPO_ISA=avx512 -c $source -o ${object}_avx512.o" ;;
        *) echo "gcc $flags -c $source -o $object.o" ;;
      esac
    done
    for source in src/ops/*.cu src/backend/*.cu; do
      [ -f "$source" ] || continue
      echo "$nvcc -std=c++17 -O3 --fmad=false $architectures -Iinclude -Isrc" \
           "-c $source -o $out/objects/$(basename "$source").o"
    done
  } >$out/commands
  rm -f $out/objects/*.o
  xargs -d '\n' -P "$(nproc)" -n 1 sh -c <$out/commands
  "$nvcc" $out/objects/*.o -o $out/bdpo_test -Xcompiler -fopenmp -ldl -lm
}

if command -v cmake >/dev/null 2>&1 && command -v ninja >/dev/null 2>&1; then
  with_cmake
else
  by_hand
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
build/cuda/bdpo_test --tier full -v cuda | tee "$log"
if grep -q '^SKIPPED' "$log"; then
  echo 'check-cuda: cases were skipped: no usable GPU here' >&2
  exit 1
fi
tail -n 1 "$log" | grep -q ' 0 failed,'
