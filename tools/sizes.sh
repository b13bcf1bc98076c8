#!/bin/sh
# The ten longest functions and files: for review, not a limit.
set -eu
cd "$(dirname "$0")/.."
files=$(find src include tests bench examples -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \))
echo 'Longest functions (lines):'
# A function is what stands between "{" and "}" at column one; its name stands before "(" above.
echo "$files" | xargs awk '
  FNR == 1 { open = 0; head = 0 }
  /^[A-Za-z_].*\(/ { head = FNR; name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
  /^{/ && head { open = head }
  /^}/ { if (open) printf "%5d  %s:%d  %s\n", FNR - open + 1, FILENAME, open, name
         open = 0; head = 0 }' |
  sort -rn | head -n 10
echo 'Longest files (lines):'
echo "$files" | xargs wc -l | grep -v ' total$' | sort -rn | head -n 10
