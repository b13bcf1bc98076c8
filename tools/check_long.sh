#!/bin/sh
# The long check, and its dated record: docs/records/<date>-check-long.md holds the machine, the
# commit, what failed or was skipped by name, and the sums.
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh long
record=docs/records/$(date +%F)-check-long.md
mkdir -p docs/records
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ tools/check.sh long 2>&1 || true; } | tee "$log"
{
  echo "# check-long, $(date +%F)"
  echo
  echo "Commit $(git describe --always --dirty 2>/dev/null || echo unknown), $(uname -sm)," \
       "$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)."
  echo "$(gcc --version | head -n 1); $(clang --version | head -n 1)."
  echo
  echo '```'
  grep -E '^(==|FAILED|SKIPPED|Failed:)|^[0-9]+ passed' "$log"
  echo '```'
} >"$record"
echo "record: $record"
tail -n 1 "$log"
tail -n 1 "$log" | grep -q ' 0 failed,'
