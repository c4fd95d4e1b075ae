#!/usr/bin/env bash
# The tiny model on this processor, ours and PyTorch's (eager and compiled) in turn: forward and training step of one
# block.
#
#   PYTHON=DIR/bin/python ./scripts/bench_cpu.sh [ROUNDS]     PYTHON has the packages torch and diffusers
#
# Both sides do the same passes on the same shapes with all cores, each round one after the other; the table holds the
# best median of the rounds, because other work on the machine can only add time.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage bench_cpu 1 -- "$@"
cd "$(dirname "$0")/.."
rounds=${1:-3} python=${PYTHON:-python3} log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$python" -c 'import torch, diffusers' 2>/dev/null || { echo "bench: set PYTHON to one that has torch and diffusers" >&2; exit 5; }
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
for ((round = 0; round < rounds; round++)); do
    for frames in 4 32; do
        ./build/longtake bench --json -q --model train/tiny --set model.block_frames=$frames --set train.batch=1 \
            --set train.blocks=1 | sed "s/^/ours $frames /" >>"$log"
        for mode in eager compile; do
            "$python" tests/bench/bench_torch_cpu.py --frames $frames --mode $mode --rounds 1 | sed "s/^/$mode $frames /" >>"$log"
        done
    done
done
"$python" - "$log" <<'PY'
import collections, json, sys
best = collections.defaultdict(lambda: float("inf"))
for line in open(sys.argv[1]):
    side, frames, text = line.split(" ", 2)
    row = json.loads(text)
    found = {"forward": row["forward_ms"], "train_step": row["block_step_ms"]} if side == "ours" else \
            {row["name"].removeprefix("torch_cpu_"): row["ms"]}
    for work, ms in found.items():
        key = (int(frames) * 64, work, side)
        best[key] = min(best[key], ms)
print(f"{'tokens':>6} {'work':<11} {'ours':>9} {'eager':>9} {'compiled':>9}   times faster than both")
for tokens, work in sorted({k[:2] for k in best}):
    ours, eager, compiled = (best[tokens, work, side] for side in ("ours", "eager", "compile"))
    print(f"{tokens:6} {work:<11} {ours:9.2f} {eager:9.2f} {compiled:9.2f}   {min(eager, compiled) / ours:.2f}")
PY
