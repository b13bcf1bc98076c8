#!/bin/sh
# Runs the same work in PyTorch (bench/torch_*.py: blocks, attention, norms, convolutions, linear
# layers, whole UNet and VAE) and in bdpo_bench, in turn, and prints their ratios, line by line and
# for each group the geometric mean and the least; above 1 we are faster, or smaller. The words
# select lines as those of bdpo_bench do; without any, every line that has a peer is run, which
# takes half an hour.
#
#   bench/compare.sh [--isa avx2] [--threads N] [--rounds N] [--seconds S] [--cpu-time]
#                    [--no-memory] [WORD ...]
#
# BDPO_BENCH names our program (default build/release/bdpo_bench), PYTHON an interpreter that has
# PyTorch 2. --isa avx2 holds both to AVX2 on a machine that has more.
set -eu
cd "$(dirname "$0")/.."
bench=${BDPO_BENCH:-build/release/bdpo_bench}
python=${PYTHON:-python3}
threads=$(nproc)
rounds=2
seconds=1
memory=--memory
while [ $# -gt 0 ]; do
  case $1 in
    --isa) isa=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --no-memory) memory=; shift ;;
    --cpu-time) cpu_time=--cpu-time; threads=1; shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || set -- bench_blocks bench_attention bench_norm bench_conv/sd bench_conv/small \
  bench_gemm/sd bench_gemm/small \
  bench_unet bench_vae

if [ "${isa:-}" = avx2 ]; then
  export BDPO_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
  export MKL_ENABLE_INSTRUCTIONS=AVX2
fi
export OMP_NUM_THREADS=$threads

# Those whose lines the words select; the peer of bench_gemm is called after what it times.
files=$("$bench" --list "$@" | sed 's|^bench_||; s|/.*||; s|^gemm$|linear|' | sort -u)
peers=
for file in $files; do
  [ ! -e "bench/torch_$file.py" ] || peers="$peers $file"
done

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
round=0
while [ $round -lt "$rounds" ]; do
  flags="--threads $threads --seconds $seconds ${cpu_time:-}"
  # Freed memory stays with PyTorch's process: no page is faulted in twice.
  for peer in $peers; do
    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736 \
      "$python" bench/torch_$peer.py $flags $memory --csv "$out/torch.$peer.$round" "$@"
  done
  "$bench" $flags --csv "$out/ours.$round" "$@"
  memory= # does not vary
  round=$((round + 1))
done

# Best of the rounds on either side; ours has seconds in column 2, bytes in column 7.
awk -F, '
  FILENAME ~ /torch/ && (!($1 in theirs) || $2 < theirs[$1]) { theirs[$1] = $2 }
  FILENAME ~ /ours/ {
    value = $2 == "" ? $7 : $2
    if (!($1 in ours) || value < ours[$1]) ours[$1] = value
  }
  END {
    for (name in theirs) {
      if (!(name in ours) || ours[name] <= 0) continue
      ratio = theirs[name] / ours[name]
      kind = name; sub(/.*\//, "", kind)
      split(name, part, "/"); file = part[1]; sub(/^bench_/, "", file)
      group = file "/" part[2] "/" kind
      sum[group] += log(ratio); count[group]++
      if (!(group in least) || ratio < least[group]) least[group] = ratio
      unit = kind == "memory" ? 1048576 : 0.001
      printf "%-52s ours %10.3f  torch %10.3f %-3s  x %.2f\n", name, ours[name] / unit, \
        theirs[name] / unit, kind == "memory" ? "MiB" : "ms", ratio | "sort"
    }
    close("sort")
    for (group in sum)
      printf "%-32s geometric mean x %.2f, least x %.2f, of %d\n", group, \
        exp(sum[group] / count[group]), least[group], count[group] | "sort"
  }' "$out"/torch.* "$out"/ours.*
