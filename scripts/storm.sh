#!/usr/bin/env bash
# Kills commands with SIGKILL at random moments, runs them again, and compares what they make with an undisturbed run;
# then lets two writers at one dataset, and two runs into one folder, at the same moment.
#
#   ./scripts/storm.sh [KILLS] [ROUNDS]    KILLS of each of ingest, train, ablate and generate (75); ROUNDS of two writers, and of
#                                          two that resume (50). 0: none
#   LT_SEED=1 LT_BUILD=build LT_COMMANDS="ablate generate" ./scripts/storm.sh
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage storm 2 -- "$@"
cd "$(dirname "$0")/.."
kills=${1:-75} rounds=${2:-50}
if [ -z "${LT_BUILD:-}" ]; then
    ./scripts/setup.sh
    LT_BUILD=build
fi
longtake=$(realpath "$LT_BUILD")/longtake
RANDOM=${LT_SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive
cd "$work"
lt() { "$longtake" "$@" --threads 1 -q; }
die() { echo "storm.sh: $*"; exit 1; }
pause() { sleep "$(awk -v ms="$1" 'BEGIN {printf "%.4f", ms / 1000}')"; }

cat >tiny.json <<'EOF'
{"model": {"frame_size": [16, 16], "block_frames": 1, "layers": 1, "heads": 1, "head_dim": 16, "caption_channels": 16, "text_length": 8},
 "train": {"batch": 1, "blocks": 2, "lr": 2e-3, "warmup": 0, "schedule": "constant", "steps": 60, "checkpoint_every": 5,
           "validate_every": 20, "validate_clips": 1},
 "data": {"train_domains": ["calm"]}}
EOF
cat >e.json <<'EOF'
{"experiment": {"title": "t", "policies": ["none", "window", "sink"], "budgets": ["1", "2"], "reads": ["one"], "clips": 2, "blocks": 3,
                "draws": 4, "reference_clips": 1, "video_blocks": 0}}
EOF
lt scenes --out d.h5 --domain calm --clips 9 --frames 16 --size 16x16 --role val=0.3 --role test=0.4 --seed 3
lt train --data d.h5 --out run --config tiny.json
mkdir clips
for i in 1 2 3 4 5 6; do lt generate --run run --out clips/$i.mp4 --blocks 24 --steps 1 --seed $i; done
rm -f clips/*.json

# Each command, how it goes on, and what must be equal in the end. $1: where it writes.
ingest() { lt ingest --out "$1/i.h5" --domain calm=clips --size 16x16 --min-frames 1 --strict; }
ingest_result() { lt info --check "$1/i.h5" >/dev/null && lt info --json "$1/i.h5" | grep '"hash"'; }
train() {
    if [ -e "$1/run/config.json" ]; then lt train --data d.h5 --out "$1/run" --resume; else lt train --data d.h5 --out "$1/run" --config tiny.json; fi
}
train_result() {
    sed -E 's/, "(seconds|tokens_per_s|peak_bytes)": [^,}]*//g' "$1/run/metrics.jsonl"
    (cd "$1/run/checkpoints/latest" && sha256sum -- *.safetensors)
}
ablate() { lt ablate --config e.json --run run --data d.h5 --out "$1/results" $([ ! -e "$1/results" ] || echo --resume) >/dev/null; }
ablate_result() { lt info --check "$1/results" >/dev/null && cat "$1/results/results.csv"; }
generate() { lt generate --run run --out "$1/v.mp4" --stats "$1/s.json" --blocks 200 --steps 4 $([ ! -e "$1/v.mp4" ] && [ ! -e "$1/s.json" ] || echo --force); }
generate_result() { # the path is in the metadata
    sed "s|$1/|/|g" "$1/v.mp4" | sha256sum
    sed -E 's/"seconds[^,}]*//g' "$1/s.json" | sha256sum
}

# Kills come in fives; then the command may end.
storm() {
    local command=$1 done=0 finished=0 took status pid
    mkdir -p "$command.whole"
    took=$(date +%s%N)
    "$command" "$command.whole" || die "$command does not work"
    took=$((($(date +%s%N) - took) / 1000000))
    "${command}_result" "$command.whole" >"$command.wanted"
    while [ "$done" -lt "$kills" ]; do
        rm -rf "$command.whole"
        mkdir "$command.whole"
        for _ in 1 2 3 4 5; do
            [ "$done" -lt "$kills" ] || break
            (trap - EXIT; "$command" "$command.whole") >out 2>&1 &
            pid=$!
            pause $((RANDOM % took))
            pkill -KILL -P "$pid" 2>/dev/null && done=$((done + 1)) # the program; the shell around it ends by itself
            status=0
            wait "$pid" || status=$?
            case $status in
            137) ;;
            0) finished=$((finished + 1)); break ;; # it was faster
            *) cat out; die "$command ended with $status after $done kills" ;;
            esac
        done
        if [ "$status" != 0 ]; then "$command" "$command.whole" || die "$command does not go on after $done kills"; fi
        "${command}_result" "$command.whole" | cmp - "$command.wanted" || die "$command ends otherwise after $done kills"
    done
    echo "$command: $done kills in runs of $took ms, $finished times it had ended before; results equal"
}
if [ "$kills" -gt 0 ]; then for command in ${LT_COMMANDS:-ingest train ablate generate}; do storm "$command"; done; fi

says="in use|exists already" # the latter of two that make a new file
# Two at once: one may be refused; it is run again, alone.
both() { # COMMAND, first argument, second argument
    local a=0 b=0 first
    (trap - EXIT; "$1" "$2") >out.a 2>&1 & first=$!
    (trap - EXIT; "$1" "$3") >out.b 2>&1 || b=$?
    wait "$first" || a=$?
    case $a$b in
    00) both=$((both + 1)) ;;
    0[1-6]) grep -qE "$says" out.b || die "refused without its reason: $(cat out.b)"; refused=$((refused + 1)); again=$3 ;;
    [1-6]0) grep -qE "$says" out.a || die "refused without its reason: $(cat out.a)"; refused=$((refused + 1)); again=$2 ;;
    *) cat out.a out.b; die "$1: both failed ($a, $b)" ;;
    esac
}
write() { lt scenes --out two.h5 --domain "$1" --clips 4 --frames 8 --size 16x16 $([ ! -e two.h5 ] || echo --append); }
resume() { lt train --data d.h5 --out two --resume --steps 12; }

both=0 refused=0
for round in $(seq "$rounds"); do
    rm -f two.h5 two.h5.*
    [ $((round % 2)) = 0 ] || lt scenes --out two.h5 --domain z --clips 1 --frames 8 --size 16x16 2>/dev/null # else both create it
    again=
    both write a b
    [ -z "$again" ] || write "$again"
    clips=$(lt info --check two.h5 >/dev/null && lt info --json two.h5 | sed -nE 's/^  "clips": ([0-9]+).*/\1/p')
    [ "$clips" = $((8 + round % 2)) ] || die "two writers: $clips clips, expected $((8 + round % 2))"
done
echo "two writers: $rounds rounds, $refused refused, $both one after the other; no clip lost"

both=0 refused=0
if [ "$rounds" -gt 0 ]; then
    lt train --data d.h5 --out half --config tiny.json --steps 4
    cp -a half whole
    lt train --data d.h5 --out whole --resume --steps 12
    mkdir -p result.whole result.two
    mv whole result.whole/run
    train_result result.whole >wanted
fi
for round in $(seq "$rounds"); do
    rm -rf two result.two/run
    cp -a half two
    both resume a b
    mv two result.two/run
    train_result result.two | cmp - wanted || die "two that resume: the run ends otherwise"
done
echo "two that resume: $rounds rounds, $refused refused, $both one after the other; no row lost"
