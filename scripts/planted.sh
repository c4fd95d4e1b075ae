#!/usr/bin/env bash
# Can the keep head learn? Clips with one marked shot that the last shot goes on with; a cache of two entries, the
# newest among them, so the one other place must stay with the marked shot while later ones come and go. Makes the
# clips, trains a small denoiser under mixed policies and then the keep head alone, and prints how often each policy
# still holds the marked shot when it is needed, on clips that nothing was trained on.
#
#   ./scripts/planted.sh [FOLDER]      default: runs/planted; what is there already is used again
#   LT_BUILD=build LT_THREADS=1 LT_SEED=0 ./scripts/planted.sh
#
# About 5 minutes on one idle core.
#
# Exits 1 when the learned policy holds it in fewer than 95 % of the clips.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage planted 1 -- "$@"
cd "$(dirname "$0")/.."
longtake=${LT_BUILD:-build}/longtake
out=${1:-runs/planted} threads=${LT_THREADS:-1} seed=${LT_SEED:-0}
mkdir -p "$out"

"$longtake" scenes --out "$out/planted.h5" --append --domain planted --kind planted --clips 1280 --frames 48 \
    --cut-every 8 --size 16x16 --no-flow --seed "$seed" --threads "$threads" -q
# train NAME OPTION...: starts a run, or goes on with the one that is there.
train() {
    local run=$out/$1 how=(--resume)
    shift
    [ -e "$run" ] || how=("$@" --set "train.seed=$seed")
    "$longtake" train --data "$out/planted.h5" --out "$run" --threads "$threads" "${how[@]}"
}
train denoiser --config train/planted
train keep --config train/planted-keep --init "$out/denoiser"

policies=(learned learned:scope=model random random:mode=uniform window sink key-norm key-norm:scope=model read-mass
    read-mass:scope=model)
arguments=()
for policy in "${policies[@]}"; do arguments+=(--policy "$policy"); done
measure() { "$longtake" held --run "$out/keep" --data "$out/planted.h5" --blocks 6 --budget 2 --threads "$threads" -q "${arguments[@]}" "$@"; }
measure --loss --clips 64 || exit
held=$(measure --json | grep '"policy": "learned:[^"]*scope=layer' | grep -oE '"held": [0-9.]+' | grep -oE '[0-9.]+$')
echo
echo "learned, on all held-out clips: $held of the layers hold it"
awk -v held="$held" 'BEGIN { exit !(held >= 0.95) }' || { echo "FAILED: expected at least 0.95"; exit 1; }
