#!/usr/bin/env bash
# Shows that generation costs the same however long the video is: slots, tails and arenas, resident memory per block,
# time per block, for 20, 400 and 4,000 blocks; and that the videos hold what they should.
#
#   ./scripts/long_stream.sh [RUN]     default: a run of train/tiny with a few steps
#   LT_BLOCKS="20 400 4000" LT_POLICY=sink LT_BUDGET=3 LT_BUILD=build LT_THREADS=2 ./scripts/long_stream.sh
#
# Exits 1 when bytes differ, resident memory grows by 64 B per block or more, the time per block drifts by 3 % or more,
# or a video has the wrong number of frames or stands still. The drift is only judged where a video has 2,000 blocks or
# more.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage long_stream 1 -- "$@"
cd "$(dirname "$0")/.."
longtake=${LT_BUILD:-build}/longtake
lengths=${LT_BLOCKS:-20 400 4000} threads=${LT_THREADS:-2} run=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
fail() { echo "FAILED: $*"; bad=1; }

if [ -z "$run" ]; then
    run=$work/run
    "$longtake" scenes --out "$work/d.h5" --domain calm --clips 32 --seed 1 -q
    "$longtake" train --config train/tiny --data "$work/d.h5" --out "$run" --set train.steps=4 --set train.warmup=0 -q
fi

# number FILE KEY: the value of the first "KEY": in a JSON text.
number() { grep -oE "\"$2\": -?[0-9.e+-]+" "$1" | head -n 1 | sed 's/.*: //'; }
blocks_written() { if [ -f "$1" ]; then grep -c '"block":' "$1" || true; else echo 0; fi; }

# Resident bytes of the process while it works: "BLOCKS BYTES" per line.
watch_memory() { # PID STATS
    local pages
    while pages=$(awk '{print $2}' "/proc/$1/statm" 2>/dev/null) && [ -n "$pages" ] && [ "$pages" -gt 0 ]; do
        echo "$(blocks_written "$2.part") $((pages * $(getconf PAGESIZE)))"
        sleep 0.1
    done
}

first_bytes=
for blocks in $lengths; do
    video=$work/$blocks.mp4 stats=$work/$blocks.stats.json
    "$longtake" generate --run "$run" --out "$video" --blocks "$blocks" --steps 1 --stats "$stats" \
        --policy "${LT_POLICY:-sink}" --budget "${LT_BUDGET:-3}" --threads "$threads" --json -q >"$work/$blocks.json" &
    pid=$!
    watch_memory "$pid" "$stats" >"$work/$blocks.rss"
    wait "$pid"

    bytes=
    for part in slots tails metadata run step scratch; do bytes="$bytes $part=$(number "$work/$blocks.json" $part)"; done
    high=$(grep -oE '"bytes": [0-9]+' "$stats" | sort -u | tr -dc '0-9\n' | sort -n | tail -n 1)
    bytes="$bytes device=$high"
    : "${first_bytes:=$bytes}"
    [ "$bytes" = "$first_bytes" ] || fail "$blocks blocks hold$bytes; before:$first_bytes"

    # From the first quarter on: what the libraries allocate once is there by then.
    slope=$(awk -v n="$blocks" '$1 > n / 4 {if (!c++) {b0 = $1; r0 = $2} b1 = $1; r1 = $2}
        END {if (c > 1 && b1 > b0) printf "%.1f", (r1 - r0) / (b1 - b0); else print "-"}' "$work/$blocks.rss")
    drift=$(grep -oE '"seconds": [0-9.]+' "$stats" | awk '{print $2}' | awk '
        function median(from, to,   n, i, j, v, t) {
            n = 0; for (i = from; i < to; i++) v[++n] = s[i]
            for (i = 2; i <= n; i++) {t = v[i]; for (j = i - 1; j > 0 && v[j] > t; j--) v[j + 1] = v[j]; v[j + 1] = t}
            return v[int((n + 1) / 2)]
        }
        {s[NR] = $1}
        END {w = int(NR / 4); a = median(NR > 40 ? 11 : 1, NR > 40 ? 11 + w : 1 + w); b = median(NR - w + 1, NR + 1)
             printf "%.3f %.3f %.2f", 1e3 * a, 1e3 * b, 100 * (b / a - 1)}')
    read -r start_ms end_ms percent <<<"$drift"
    printf '%5d blocks:%s; RSS slope %s B/block; median %s ms at the start, %s ms at the end (%+.2f %%)\n' \
        "$blocks" "$bytes" "$slope" "$start_ms" "$end_ms" "$percent"
    if [ "$blocks" -ge 2000 ]; then
        awk -v s="$slope" 'BEGIN {exit !(s < 64)}' || fail "$blocks blocks: resident memory grows by $slope B per block"
        awk -v p="$percent" 'BEGIN {exit !(p < 3 && p > -3)}' || fail "$blocks blocks: the time per block drifts by $percent %"
    fi

    # The video as ingest sees it: one clip with all frames, and motion in it.
    frames=$(number "$work/$blocks.json" frames)
    "$longtake" ingest --out "$work/$blocks.h5" --domain "made=$video" --clip-seconds 0 --no-cuts --fps 240 -q
    "$longtake" info "$work/$blocks.h5" --json >"$work/$blocks.info.json"
    read_back=$(number "$work/$blocks.info.json" frames) motion=$(number "$work/$blocks.info.json" luma_diff)
    echo "      video: $read_back frames read back of $frames, mean luma difference $motion"
    [ "$read_back" = "$frames" ] || fail "$video has $read_back frames, expected $frames"
    awk -v m="$motion" 'BEGIN {exit !(m > 0.01 && m < 255)}' || fail "$video stands still (luma difference $motion)"
    rm -f "$video" "$work/$blocks.h5"
done
[ $bad = 0 ] && echo "constant: yes"
exit $bad
