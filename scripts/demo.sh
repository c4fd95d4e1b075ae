#!/usr/bin/env bash
# The main job, small: footage in, a trained model, a video and a report on cache eviction out. On the CPU.
#
#   ./scripts/demo.sh [FOOTAGE_DIR]    folder with videos; its subfolders calm/ and dynamic/, if there, become domains.
#                                      Without one: the clips in Debian's package python3-mecavideo, if there is a network.
#   LT_DEMO_MODEL=RUN ./scripts/demo.sh    with a model of yours in place of experiments/tiny
#
# Leaves runs/demo (the training run and two mp4 files) and results/demo (tables and report.html); running it again
# replaces both. About 5 minutes on 2 quiet cores, apart from what setup.sh does the first time; a line every 10 s at
# least.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage demo 1 -- "$@"
footage=
if [ $# -gt 0 ]; then
    [ -d "$1" ] || { echo "demo: $1 is not a folder; give one with videos, or nothing" >&2; exit 2; }
    footage=$(cd "$1" && pwd)
fi
cd "$(dirname "$0")/.."
ticker=
trap 'echo; echo "demo: interrupted; run it again to start over" >&2; exit 130' INT TERM
trap '[ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true' EXIT
model=${LT_DEMO_MODEL:-experiments/tiny} cache=.cache/demo scenes=.cache/demo/scenes.h5 real=.cache/demo/footage.h5
steps=60

clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
say() { printf '\n== %s (%s)\n' "$1" "$(clock)"; }

# What a phase has done so far.
steps_done() { if [ -f runs/demo/metrics.jsonl ]; then echo ", step $(grep -c '"loss"' runs/demo/metrics.jsonl || true) of $steps"; fi; }
cells_done() { find results/demo/cells -name '*.h5' 2>/dev/null | wc -l | sed 's/.*/, & cells done/'; }
nothing_counted() { :; }

# with_progress WHAT COUNTER COMMAND...: a line every 10 s while the command runs.
with_progress() {
    local what=$1 counter=$2 status=0
    shift 2
    while sleep 10 >/dev/null 2>&1; do echo "   ... $what$($counter) ($(clock))"; done &
    ticker=$!
    "$@" || status=$?
    { kill "$ticker" && wait "$ticker"; } 2>/dev/null || true
    ticker=
    return "$status"
}

longtake() { build/longtake "$@"; }

# A part that needs FFmpeg is left out, with a word, in a build without it (exit 5).
optional() {
    local status=0
    "$@" || status=$?
    [ "$status" = 0 ] && return 0
    [ "$status" = 5 ] || exit "$status"
    echo "demo: going on without this step"
    return 5
}

# Unpacks the clips of python3-mecavideo below .cache/, without installing anything.
fetch_footage() {
    local folder=.cache/mecavideo
    if [ ! -d "$folder" ]; then
        command -v apt-get >/dev/null || return 1
        rm -rf "$folder.part"
        mkdir -p "$folder.part"
        (cd "$folder.part" && timeout 60 apt-get download -qq python3-mecavideo >/dev/null 2>&1 &&
            dpkg-deb -x python3-mecavideo_*.deb . && rm python3-mecavideo_*.deb) || return 1
        mv "$folder.part" "$folder"
    fi
    footage=$PWD/$folder/usr/share/pymecavideo/data/video
}

./scripts/setup.sh
SECONDS=0
printf '\n%s\n' "The demo: scenes 5 s, footage 5 s, training 1 minute, videos 10 s, comparison 3 minutes, on 2 quiet cores."

say "scenes with known motion, cuts and returns: calm, and six times as fast"
mkdir -p "$cache"
rm -f "$scenes" "$real"
draw() {
    longtake scenes --out "$scenes" --domain calm --clips 160 --no-flow --quiet
    longtake scenes --out "$scenes" --domain dynamic --clips 80 --speed 6 --append --quiet
}
with_progress "drawing" nothing_counted draw
longtake info "$scenes"

say "real footage"
data=(--data "$scenes")
if [ -z "$footage" ] && ! with_progress "fetching clips" nothing_counted fetch_footage; then
    echo "demo: no folder was given and python3-mecavideo could not be downloaded; going on without real footage"
fi
if [ -n "$footage" ]; then
    domains=()
    for motion in calm dynamic; do
        [ ! -d "$footage/$motion" ] || domains+=(--domain "real-$motion=$footage/$motion")
    done
    [ ${#domains[@]} -gt 0 ] || domains=(--domain "real=$footage")
    # All of it is for testing: no model here was trained on it.
    if optional with_progress "reading videos" nothing_counted longtake ingest --out "$real" "${domains[@]}" --role test=1 --quiet; then
        longtake info "$real"
        data+=(--data "$real")
    fi
fi

say "training the tiny model from scratch, to see that it learns: $steps steps, about 1 minute"
with_progress "training" steps_done longtake train --config train/tiny --data "$scenes" --out runs/demo --force --seed 1 \
    --steps "$steps" --set train.lr=2e-3 --set train.warmup=10 --set train.ema_decay=0.9 --set train.validate_every=20 --quiet
echo "validation loss on fixed clips and noise:"
sed -nE 's/.*"step": ([0-9]+).*"val_loss": ([0-9.]+).*/  step \1: \2/p' runs/demo/metrics.jsonl

say "videos from $model: a few seconds"
if optional with_progress "making a video" nothing_counted longtake generate --run "$model" --out runs/demo/scene.mp4 --force \
    --blocks 8 --quiet; then
    echo "runs/demo/scene.mp4: 8 blocks from noise"
fi
if [ -f "$real" ] && optional with_progress "making a video" nothing_counted longtake generate --run "$model" \
    --out runs/demo/continued.mp4 --force --from "$real:0" --history 2 --blocks 6 --stats runs/demo/continued.json --quiet; then
    echo "runs/demo/continued.mp4: 2 blocks of the first real clip, then 6 of the model's"
fi

say "which history should it keep? 7 ways on each kind of clip: about 3 minutes"
with_progress "comparing" cells_done longtake ablate --config experiments/demo.json --run "$model" "${data[@]}" \
    --out results/demo --force --jobs 2 --quiet
say "done; open results/demo/report.html"
