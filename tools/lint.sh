#!/bin/sh
# clang-tidy (checks: .clang-tidy) and cppcheck over the library, tests, benchmarks and examples.
# Argument: a build directory of the clang preset, for its compile commands.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/clang}
jobs=$(nproc)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

# A *_isa.c file stands in the list once per instruction set; one reading is enough.
mkdir -p "$build/lint"
awk 'BEGIN { RS = "\n},?\n"; ORS = "\n},\n" } /BDPO_ISA=(portable|avx512)/ { next } /"command"/' \
  "$build/compile_commands.json" | sed -e '1s/^\[//' >"$log"
{ echo '['; sed -e '$ s/},$/}/' "$log"; echo ']'; } >"$build/lint/compile_commands.json"

run-clang-tidy -quiet -p "$build/lint" -j "$jobs" >"$log" 2>&1 || status=1
found=$(sed -e 's/\x1b\[[0-9;]*m//g' -e "s|$PWD/||g" "$log" |
  grep -E '(warning|error):' | sort -u || true)
if [ -n "$found" ]; then
  echo "$found"
  status=1
elif [ "$status" != 0 ]; then
  tail -n 20 "$log"
fi

cppcheck --quiet --std=c17 -j "$jobs" --enable=warning,performance,portability --inline-suppr \
  --suppressions-list=tools/cppcheck.txt --error-exitcode=1 \
  -Iinclude -Isrc -Itests -D_POSIX_C_SOURCE=200809L -DBDPO_ISA=portable \
  -DBDPO_TESTS_DIR='""' src include tests bench examples || status=1
exit $status
