#!/usr/bin/env bash
# Who is kept x how it is weighed, on clips unlike each other: calm ones as the shipped model was trained on, six times
# faster ones, and both with three other shots between two of a scene, so that a window of three blocks has forgotten
# it.
#
#   ./scripts/factorial.sh [RUN] [OUT]     default: experiments/tiny, results/factorial
#   LT_CLIPS=160 LT_DEVICE=cpu LT_JOBS=2 LT_BUILD=build ./scripts/factorial.sh
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage factorial 2 -- "$@"
cd "$(dirname "$0")/.."
run=${1:-experiments/tiny} out=${2:-results/factorial} clips=${LT_CLIPS:-160}
longtake=${LT_BUILD:-build}/longtake data=.cache/factorial.h5
mkdir -p .cache
scenes() {
    "$longtake" scenes --out "$data" --append --domain "$1" --clips "$clips" --frames 64 --no-flow --seed 11 -q \
        --role val=0.2 --role test=0.8 "${@:2}"
}
scenes calm
scenes dynamic --speed 6
scenes calm-gap --cut-every 8 --return-gap 3 --return-rate 1
scenes dynamic-gap --cut-every 8 --return-gap 3 --return-rate 1 --speed 6
"$longtake" ablate --config experiments/factorial.json --run "$run" --data "$data" --out "$out" --force \
    --device "${LT_DEVICE:-cpu}" --precision f32 --jobs "${LT_JOBS:-2}"
