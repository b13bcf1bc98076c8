#!/bin/sh
# The quick tests under valgrind, one process for each test, leaks included. Memory that a runtime
# keeps for the life of the process (OpenMP's threads) is not a leak of ours: only lost blocks count.
#
#   tools/valgrind.sh [BINARY [WORD ...]]
#
# Without words: all but those of the commands that compute, whose parts the other tests run, and of
# downloads, which wait by the clock.
set -eu
suppressions=$(cd "$(dirname "$0")" && pwd)/valgrind.supp # children work in other folders
binary=${1:-build/release/bdpo_test}
shift || true
[ $# -gt 0 ] || set -- $("$binary" -l | sed 's|^.*tests/||; s|:.*|:|' | sort -u |
  grep -vE '^(cli/test_cli(_sample|_score|_fetch)?:|fetch/)')
# valgrind has no AVX-512 and reports none, so the AVX2 kernels run. Two OpenMP threads spin.
exec env OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive valgrind --quiet --trace-children=yes \
  --leak-check=full --errors-for-leak-kinds=definite,indirect --show-leak-kinds=definite,indirect \
  --suppressions="$suppressions" --error-exitcode=66 "$binary" --timeout 1200 "$@"
