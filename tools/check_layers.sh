#!/bin/sh
# The house rules that a machine can see: a room includes only rooms above it, basenames of
# sources and headers are unique, every header compiles alone (public ones also as C++), and every
# line of ops.def has what it promises. Prints each breach; exit status 1 if there is one.
set -eu
cd "$(dirname "$0")/.."
# The rooms, in the order in which they may see each other.
rooms='bdpo base tensor graph kernels ops backend formats text models diffusion data fetch scorers vote preference cli'
breaches=$(mktemp)
trap 'rm -f "$breaches"' EXIT

# ---- includes ------------------------------------------------------------------------------
# Quoted includes are written from src/: "room/file". The public API sees only itself; kernels know
# no graph types; what the build found concerns kernels only.
find src include tests bench examples -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) \
  -exec grep -HnE '^[ \t]*#[ \t]*include[ \t]' {} + |
awk -v rooms="$rooms" '
  function say(why) { printf "%s:%s: %s\n", file, line, why }
  BEGIN { n = split(rooms, r, " "); for (i = 1; i <= n; i++) rank[r[i]] = i }
  {
    split($0, part, ":"); file = part[1]; line = part[2]
    if (!match($0, /[<"][^>"]*[>"]/)) next
    quoted = substr($0, RSTART, 1) == "\""
    target = substr($0, RSTART + 1, RLENGTH - 2)
    n = split(file, f, "/"); split(target, t, "/")
    top = f[1]; room = (top == "src") ? f[2] : (top == "include") ? "bdpo" : ""
    to = t[1]
    if (top == "examples" && (quoted || (to in rank && to != "bdpo"))) {
      say("an example sees the public API only, not " target); next }
    if (room == "") next
    if (target == "build_config.h") { if (room != "kernels") say(target " concerns kernels only"); next }
    if (!quoted && !(to in rank)) next # the system
    if (quoted && index(target, "/") == 0) { say("write it from src/: \"room/" target "\""); next }
    if (!(to in rank)) { say("no such room: " target); next }
    if (rank[to] > rank[room]) say(room " may not see " target ", which is below it")
    if (room == "kernels" && to == "graph") say("kernels know no graph types: " target)
  }' >>"$breaches"

# ---- rooms and names -----------------------------------------------------------------------
for dir in src/*/; do
  room=$(basename "$dir")
  case " $rooms " in *" $room "*) ;; *) echo "$dir: not in the list of rooms" >>"$breaches" ;; esac
done
expected=$(for room in ${rooms#bdpo }; do [ ! -d "src/$room" ] || echo "$room"; done)
documented=$(sed -nE 's/^\| `src\/([a-z]+)\/`.*/\1/p' docs/architecture.md)
[ "$documented" = "$expected" ] || {
  echo "docs/architecture.md: its table should list, in order:" $expected; } >>"$breaches"
tr -s ' \n' ' ' <CMakeLists.txt | grep -q "set(BDPO_ALL_ROOMS ${rooms#bdpo })" ||
  echo "CMakeLists.txt: BDPO_ALL_ROOMS should be: ${rooms#bdpo }" >>"$breaches"
find src include tests bench examples -type f \( -name '*.[ch]' -o -name '*.cuh' -o -name '*.def' \) |
  awk -F/ '{ if ($NF in seen) print $0 ": same name as " seen[$NF]; seen[$NF] = $0 }' >>"$breaches"

# ---- every header alone --------------------------------------------------------------------
strict='-Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -fopenmp -Iinclude -Isrc -Itests -fsyntax-only'
alone() { # alone HEADER COMPILER...
  header=$1; shift
  "$@" $strict "$header" >"$breaches.log" 2>&1 || {
    echo "$header: does not compile alone ($*)"; head -n 5 "$breaches.log"; } >>"$breaches"
}
for header in $(find src include tests bench \( -type f -o -type l \) -name '*.h' | sort); do
  [ -e "$header" ] || { echo "$header: dangling link" >>"$breaches"; continue; }
  alone "$header" gcc -std=c17 -Wno-unused-function -Wno-psabi -x c
  case $header in
    include/*) alone "$header" g++ -std=c++17 -x c++ ;;
    */simd*.h)
      [ "$(uname -m)" = x86_64 ] || continue
      alone "$header" gcc -std=c17 -mavx2 -mfma -Wno-unused-function -x c
      alone "$header" gcc -std=c17 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma \
        -Wno-unused-function -x c ;;
  esac
done
rm -f "$breaches.log"

# ---- operators -----------------------------------------------------------------------------
# OP(NAME, name) promises a descriptor and a CUDA launcher; OP_CPU(NAME, name) a descriptor only.
if [ -f src/ops/ops.def ]; then
  sed -nE 's/^(OP|OP_CPU)\([A-Z0-9_]+, *([a-z0-9_]+)\).*/\1 \2/p' src/ops/ops.def |
  while read -r kind name; do
    grep -qE "bdpo_op_$name\b" src/ops/*.c || echo "ops.def: $name has no descriptor in src/ops"
    twin=no
    grep -qsE "bdpo_cuda_$name\b" src/ops/*.cu && twin=yes
    [ "$kind$twin" != OPno ] || echo "ops.def: $name has no .cu twin; write OP_CPU if that is meant"
    [ "$kind$twin" != OP_CPUyes ] || echo "ops.def: $name has a .cu twin; write OP"
  done >>"$breaches"
fi

cat "$breaches"
[ ! -s "$breaches" ]
