#!/bin/sh
# Builds and runs the tests under a sanitizer preset: tools/sanitize.sh asan|ubsan [ARGUMENT...]
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift
export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --target bdpo_test
exec "build/$preset/bdpo_test" --timeout 600 "$@"
