#!/bin/sh
# The tiers of checks: tools/check.sh quick|full|long. Builds what it runs, in build/<preset>.
#
# Each stage prints its own findings; a stage that is no test binary counts as one test. The last
# line sums up: "N passed, N failed, N skipped".
#   quick   about a minute: quick tests, layers, format
#   full    at most 20 minutes: all but the longest tests, kernels of every instruction set, a
#           second compiler, sanitizers, lint, an installed copy
#   long    full sizes, other matrix products, valgrind, fuzzing; its record goes to docs/records/
set -u
cd "$(dirname "$0")/.."
tier=${1:-quick}
case $tier in quick | full | long) ;; *) echo "usage: tools/check.sh quick|full|long" >&2; exit 2 ;; esac

export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
passed=0 failed=0 skipped=0
failures=
log=$(mktemp)
trap 'rm -f "$log"' EXIT
started=$(date +%s)

say() { printf '== %s (%d s)\n' "$1" $(($(date +%s) - started)); }

# stage NAME COMMAND...: one pass or failure.
stage() {
  name=$1; shift
  say "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); failures="$failures
  $name"; fi
}

# tests NAME COMMAND...: a test binary, whose last line is added to the sums.
tests() {
  name=$1; shift
  say "$name"
  { "$@" 2>&1; echo "exit $?"; } | tee "$log" | grep -v '^exit [0-9]*$'
  counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
  code=$(tail -n 1 "$log")
  if [ -z "$counts" ] || { [ "$code" != 'exit 0' ] && [ "${counts#*, 0 failed}" != "$counts" ]; }; then
    failed=$((failed + 1)); failures="$failures
  $name: no result, $code"
    return
  fi
  set -- $(echo "$counts" | tr -cd '0-9 ')
  passed=$((passed + $1)); failed=$((failed + $2)); skipped=$((skipped + $3))
  [ "$2" = 0 ] || failures="$failures
  $name: $2 failed"
}

# build PRESET [TARGET...]
build() {
  preset=$1; shift
  cmake --preset "$preset" -DBDPO_WERROR=ON >"$log" 2>&1 || { cat "$log"; return 1; }
  grep -E '^-- (Matrix product|CUDA):' "$log"
  cmake --build --preset "$preset" ${1:+--target "$@"} >"$log" 2>&1 || { cat "$log"; return 1; }
}

# tests_with_blas FOLDER LIBRARY [OPTION...]: another matrix product under the same tests.
tests_with_blas() {
  folder=build/$1 library=$2; shift 2
  cmake -S . -B "$folder" -DBDPO_CUDA=OFF -DBDPO_WERROR=ON -DBDPO_BLAS="$library" "$@" >/dev/null &&
    cmake --build "$folder" >/dev/null && "$folder/bdpo_test"
}

finish() {
  say "done"
  [ -z "$failures" ] || printf 'Failed:%s\n' "$failures"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
  exit
}

stage 'build: gcc, release' build release
[ "$failed" = 0 ] || finish
stage 'layers' tools/check_layers.sh
stage 'format' tools/format.sh --check
test_binary=build/release/bdpo_test
tests "tests: $tier" $test_binary --tier "$tier"
[ "$tier" != quick ] || finish

for isa in portable avx2; do
  tests "tests of kernels and operators: $isa" env BDPO_ISA=$isa $test_binary unit/ ops/
done
stage 'installed copy' tools/check_install.sh build/release
stage 'build: clang' build clang
stage 'lint' tools/lint.sh build/clang
stage 'build: asan' build asan bdpo_test
tests 'tests: asan and ubsan' build/asan/bdpo_test --timeout 600

if [ "$tier" = long ]; then
  # Skips itself where PyTorch and diffusers are missing; PYTHON names an interpreter with them.
  python=${PYTHON:-python3}
  if command -v "$python" >"$log"; then
    tests 'live parity: blocks' "$python" tools/parity/live_blocks.py $test_binary
    tests 'live parity: UNet' "$python" tools/parity/unet.py --live $test_binary
  else
    echo "SKIPPED  live parity: no $python"
    skipped=$((skipped + 1))
  fi
  tests 'tests: clang' build/clang/bdpo_test
  tests 'tests: OpenBLAS' tests_with_blas openblas OPENBLAS
  tests 'tests: own products, shared library' tests_with_blas own-products NONE -DBUILD_SHARED_LIBS=ON
  tests 'tests: valgrind' tools/valgrind.sh $test_binary
  tests 'fuzzing' env BDPO_FUZZ_SECONDS=60 build/asan/bdpo_test --tier long --timeout 0 fuzz/
fi
finish
