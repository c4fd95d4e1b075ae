#!/usr/bin/env bash
# Makes the model of experiments/tiny: its data, four stages of the denoiser, each from the one before, then the scorer.
# The reading of the cache is learned first where it is easiest: at high times, on few tokens, in clips in which every
# second block shows a scene that was seen before (docs/status.md says what happens otherwise).
#
#   ./scripts/train_tiny.sh [OUT]     default: runs/tiny; about ten minutes on one H100; 13 GB of data
#   LT_DEVICE=cuda LT_BUILD=build-cuda LT_THREADS=12 ./scripts/train_tiny.sh
#
# It goes on where it was interrupted.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage train_tiny 1 -- "$@"
cd "$(dirname "$0")/.."
out=${1:-runs/tiny}
longtake=${LT_BUILD:-build-cuda}/longtake
export OMP_WAIT_POLICY=passive # on a GPU the host's threads only feed it
mkdir -p "$out"

scenes() { # NAME CLIPS OPTIONS...: into the file or added to it; 10 % of the clips validate, 20 % test
    local file=$out/$1.h5 clips=$2 append=()
    shift 2
    [ ! -f "$file" ] || append=(--append)
    "$longtake" scenes --out "$file" --domain calm --clips "$clips" --no-flow -q "${append[@]}" "$@"
}
streams() { # two scenes in turn; three in turn; shots of two blocks, as scenes makes them by default
    scenes streams 6000 --frames 48 --cut-every 8 --return-rate 1
    scenes streams 3000 --frames 48 --cut-every 8 --return-rate 1 --return-gap 2 --seed 1
    scenes streams 4000 --frames 48 --cut-every 16 --seed 2
}
train() { # STAGE DATA [BEFORE]
    local start=(--config "train/tiny-$1" --data "$out/$2.h5" ${3:+--init "$out/$3"})
    if [ -e "$out/$1/checkpoints/latest" ]; then start=(--resume --data "$out/$2.h5"); else start+=(--force); fi
    "$longtake" train "${start[@]}" --out "$out/$1" --device "${LT_DEVICE:-cuda}" --threads "${LT_THREADS:-12}" -q
    echo "$1: $(tail -n 1 "$out/$1/metrics.jsonl")"
}

scenes grid 12000 --frames 8 --cut-every 2 --return-rate 1 & grid=$!
scenes blocks 10000 --frames 24 --cut-every 8 --return-rate 1 & blocks=$!
streams & streams=$!
scenes copy 30000 --frames 6 --cut-every 2 --return-rate 1 --size 32x32
train copy copy
wait $grid
train grid grid copy
wait $blocks
train blocks blocks grid
wait $streams
train shipped streams blocks
train shipped-scorer streams shipped
"$longtake" evaluate --run "$out/shipped-scorer" --data "$out/streams.h5" --device "${LT_DEVICE:-cuda}" --clips 64 --blocks 6 \
    --policy none --policy keep-all --policy window --policy window:read=content --policy learned:read=content --budget 3
