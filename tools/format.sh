#!/bin/sh
# Formats every C and CUDA file in place; with --check only reports those that would change.
set -eu
cd "$(dirname "$0")/.."
files=$(find src include tests bench examples -type f \
  \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.def' \))
if [ "${1:-}" = --check ]; then
  echo "$files" | xargs clang-format --dry-run -Werror
else
  echo "$files" | xargs clang-format -i
fi
