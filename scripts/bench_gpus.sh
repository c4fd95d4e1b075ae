#!/usr/bin/env bash
# Training on one GPU and on several of this machine, at the same number of clips per GPU: tokens per second and their
# ratio.
#
#   ./scripts/bench_gpus.sh [FOLDER]      default: runs/bench_gpus; clips that are there already are used again
#   LT_BUILD=build-cuda LT_GPUS=2 LT_STEPS=120 LT_CLIPS=4 LT_CONFIG=train/small ./scripts/bench_gpus.sh
#
# LT_CLIPS is per GPU and step. One GPU and all run in turn, three times, since other work on the machine can only add
# time; a figure is the best of them, each the median of its steps after the first 20. LT_COLLECTIVES=mpi sums gradients
# through the host instead, to see what NCCL and the overlap bring. All processes together use all cores, and one alone
# its share of them.
#
# Exits 5 without the GPUs or mpirun. LT_BAR=1.85 makes it exit 1 when the ratio is below that.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage bench_gpus 1 -- "$@"
cd "$(dirname "$0")/.."
longtake=${LT_BUILD:-build-cuda}/longtake
out=${1:-runs/bench_gpus} gpus=${LT_GPUS:-2} steps=${LT_STEPS:-120} clips=${LT_CLIPS:-4} config=${LT_CONFIG:-train/small}
collectives=${LT_COLLECTIVES:-auto} threads=$(($(nproc) / gpus))
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
command -v mpirun >/dev/null || { echo "bench: there is no mpirun" >&2; exit 5; }
found=$({ nvidia-smi -L 2>/dev/null || true; } | wc -l)
[ "$found" -ge "$gpus" ] || { echo "bench: $gpus GPUs wanted, $found found" >&2; exit 5; }
mkdir -p "$out"

"$longtake" scenes --out "$out/clips.h5" --append --domain calm --clips 256 --frames 32 --cut-every 8 --size 128x128 \
    --no-flow -q

# tokens_per_s COUNT: the median of a run on that many GPUs.
tokens_per_s() {
    local run=$out/on-$1 launch=()
    [ "$1" = 1 ] || launch=(mpirun -n "$1" --bind-to none)
    "${launch[@]}" "$longtake" train --config "$config" --data "$out/clips.h5" --out "$run" --force --device cuda -q \
        --threads "$threads" --steps "$steps" --collectives "$collectives" --set "train.batch=$((clips * $1))" \
        --set train.checkpoint_every=0 --set train.validate_every=0 >&2 || return
    tail -n +21 "$run/metrics.jsonl" | sed -nE 's/.*"tokens_per_s": ([0-9.e+]+).*/\1/p' | sort -g |
        awk '{a[NR] = $1} END {print NR ? a[int((NR + 1) / 2)] : 0}'
}

printf '%s, %s clips per GPU, median of steps 21 to %s, collectives %s\n' "$config" "$clips" "$steps" "$collectives"
declare -A best=([1]=0 [$gpus]=0)
for round in 1 2 3; do
    for count in 1 "$gpus"; do
        rate=$(tokens_per_s "$count")
        printf '  round %d, %d GPU(s): %.0f tokens/s\n' "$round" "$count" "$rate"
        best[$count]=$(awk -v a="${best[$count]}" -v b="$rate" 'BEGIN {print (a > b ? a : b)}')
    done
done
awk -v one="${best[1]}" -v all="${best[$gpus]}" -v n="$gpus" -v bar="${LT_BAR:-0}" 'BEGIN {
    ratio = one > 0 ? all / one : 0
    printf "1 GPU %.0f tokens/s, %d GPUs %.0f tokens/s: %.3fx\n", one, n, all, ratio
    exit !(ratio >= bar)
}'
