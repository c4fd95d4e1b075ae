#!/usr/bin/env bash
# Kills a training run with SIGKILL at N random points, half of them while a checkpoint is being written, resumes it
# each time, and compares it with an unbroken run: all rows of metrics.jsonl (seconds and tokens_per_s apart) and the
# final weights, EMA and optimizer state must be the same bytes.
#
#   ./scripts/kill_resume.sh [N] [CONFIG]     default: 20 points of train/tiny
#   LT_STEPS=60 LT_EVERY=3 LT_BUILD=build LT_SEED=1 LT_SIZE=64x64 LT_FRAMES=96 LT_DEVICE=cpu ./scripts/kill_resume.sh
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage kill_resume 2 -- "$@"
cd "$(dirname "$0")/.."
kills=${1:-20} config=${2:-train/tiny}
steps=${LT_STEPS:-60} every=${LT_EVERY:-3} threads=${LT_THREADS:-2}
longtake=${LT_BUILD:-build}/longtake
RANDOM=${LT_SEED:-$$}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$longtake" scenes --out "$work/d.h5" --domain calm --clips 32 --frames "${LT_FRAMES:-96}" --size "${LT_SIZE:-64x64}" --seed 1 -q
options=(--data "$work/d.h5" --set train.steps="$steps" --set train.checkpoint_every="$every"
    --set train.validate_every=$((every * 5)) --threads "$threads" --device "${LT_DEVICE:-cpu}" -q)
start() { # RUN: the config is given once, then the run's own
    if [ -f "$1/config.json" ]; then
        "$longtake" train --out "$1" --resume "${options[@]}" &
    else
        "$longtake" train --out "$1" --config "$config" "${options[@]}" &
    fi
    pid=$!
}
now() { date +%s%N; }
pause() { sleep "$(awk -v ms="$1" 'BEGIN {printf "%.4f", ms / 1000}')"; }

began=$(now)
start "$work/whole"
wait "$pid"
whole_ms=$((($(now) - began) / 1000000))
echo "unbroken: $steps steps in $whole_ms ms"

done_kills=0 writing=0
while [ "$done_kills" -lt "$kills" ]; do
    start "$work/killed"
    # Long enough for some progress, short enough that N points are spread over the run.
    pause $((200 + RANDOM % (2 * whole_ms / kills + 200)))
    in_writing=0
    if [ $((done_kills % 2)) = 1 ]; then
        for _ in $(seq 2000); do
            if compgen -G "$work/killed/checkpoints/step-*.tmp" >/dev/null; then in_writing=1; break; fi
            sleep 0.002
        done
        [ $in_writing = 0 ] || pause $((RANDOM % 20))
    fi
    rows=$(wc -l <"$work/killed/metrics.jsonl" 2>/dev/null || echo 0)
    kill -9 "$pid" 2>/dev/null || true
    status=0
    wait "$pid" 2>/dev/null || status=$?
    [ $status = 137 ] || { echo "longtake train ended with $status before kill $((done_kills + 1)); give more LT_STEPS"; exit 1; }
    done_kills=$((done_kills + 1)) writing=$((writing + in_writing))
    echo "kill $done_kills after $rows rows$([ $in_writing = 0 ] || echo ', in a checkpoint')"
done
start "$work/killed"
wait "$pid"

rows() { sed -E 's/, "(seconds|tokens_per_s)": [^,}]*//g' "$1/metrics.jsonl"; }
diff <(rows "$work/whole") <(rows "$work/killed") || { echo "the rows differ"; exit 1; }
for file in model.safetensors ema.safetensors optimizer.safetensors; do
    cmp "$work/whole/checkpoints/latest/$file" "$work/killed/checkpoints/latest/$file"
done
echo "$done_kills kills ($writing in a checkpoint): $(rows "$work/whole" | wc -l) rows and the final weights are equal," \
    "sha256 $(sha256sum <"$work/killed/checkpoints/latest/model.safetensors" | cut -c1-16)"
