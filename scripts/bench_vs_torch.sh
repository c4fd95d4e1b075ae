#!/usr/bin/env bash
# Ours and PyTorch's in turn on this machine's NVIDIA GPU, each beside the floor that the card sets; stdout is a table,
# stderr the raw lines as they come.
#
#   PYTHON=DIR/bin/python ./scripts/bench_vs_torch.sh [WORK...]     PYTHON has the packages torch and diffusers
#   LT_BUILD=DIR ...     an existing CUDA build; build-cuda (`cmake --preset cuda`) is brought up to date
#   LT_MODES=compile,tuned ...     which of PyTorch's renditions: eager, compile, tuned
#
# WORK: attention, forward-480p, forward-480p-x2 (guidance), forward-block, forward-720p, step-480p (each transformer
# block computed again), step-block; without any, all of them. What the renditions and floors are:
# tests/bench/bench_torch_gpu.py.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage bench_vs_torch 7 -- "$@"
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} modes=${LT_MODES:-eager,compile,tuned} log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ $# -gt 0 ] || set -- attention forward-480p forward-480p-x2 forward-block forward-720p step-480p step-block
"$python" -c 'import torch' 2>/dev/null || { echo "bench: $python has no package torch; set PYTHON to one that has torch and diffusers" >&2; exit 5; }
"$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || { echo "bench: PyTorch finds no GPU here" >&2; exit 5; }
if ! "$python" -c 'import diffusers' 2>/dev/null; then
    echo "bench: $python has no package diffusers: of PyTorch only attention is timed" >&2
    diffusers=missing
fi
if [ -z "${LT_BUILD:-}" ]; then
    [ -f build-cuda/build.ninja ] || cmake --preset cuda >&2
    LT_BUILD=build-cuda
fi
cmake --build "$LT_BUILD" --target longtake bench_attention >&2

ours() {
    local model=model/sana-video-2b-480p frames=21 what=forward more=()
    case $1 in
    attention) "$LT_BUILD/bench_attention" time; return ;;
    forward-480p) ;;
    forward-480p-x2) more=(--batch 2) ;;
    forward-block) frames=10 ;;
    forward-720p) model=model/sana-video-2b-720p frames=11 ;;
    step-480p) what=step more=(--recompute all) ;;
    step-block) what=step frames=10 ;;
    *) echo "bench: there is no work \"$1\"" >&2; return 2 ;;
    esac
    "$LT_BUILD/longtake" bench --json -q --device cuda --model $model --set model.block_frames=$frames --only $what "${more[@]}"
}

for work; do
    { ours "$work" || echo "failed with status $?"; } | sed "s/^/ours $work /" | tee -a "$log" >&2
    if [ -n "${diffusers:-}" ] && [ "$work" != attention ]; then continue; fi
    { "$python" tests/bench/bench_torch_gpu.py --mode "$modes" "$work" || echo "{\"work\": \"$work\", \"mode\": \"failed\", \"ms\": 0}"; } |
        sed "s/^/torch $work /" | tee -a "$log" >&2
done

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | sort -u
"$python" - "$log" <<'PY'
import json, math, re, sys
times, peaks, errors, works = {}, {}, {}, []
def put(work, side, ms, gib=0.0):
    if work not in works:
        works.append(work)
    if ms and math.isfinite(ms):
        times[work, side], peaks[work, side] = ms, gib
size = None
for line in open(sys.argv[1]):
    side, work, text = line.rstrip("\n").split(" ", 2)
    if side == "torch" and text.startswith("{"):
        row = json.loads(text)
        put(row["work"], row["mode"], row["ms"], row.get("peak_gib", 0.0))
        errors[row["work"], row["mode"]] = row.get("error", "")
    elif text.startswith("{"):
        row = json.loads(text)
        step = work.startswith("step")
        put(work, "ours", row["block_step_ms" if step else "forward_ms"], row["block_step_bytes" if step else "forward_bytes"] / 2**30)
    elif work == "attention":
        size = text if re.match(r"B\d+ H\d+ N\d+ D\d+$", text) else size
        found = re.match(r" +(forward|forward\+backward) +([\d.]+) ms", text)
        if found and size == "B1 H20 N32760 D112":
            put("attention " + found[1], "ours", float(found[2]))
    else:
        put(work, "ours", 0)
def number(value):
    return f"{value:9.3f}" if value < 10 else f"{value:9.1f}"
def cell(work, side):
    return number(times[work, side]) if (work, side) in times else f"{'-':>9}"
print(f"{'ms':<27}{'ours':>9}{'eager':>9}{'compiled':>9}{'tf32':>9}{'tuned':>9}  times faster{'floor':>9}  share of floor  GiB: ours, theirs")
for work in works:
    ours, floor = times.get((work, "ours")), times.get((work, "floor"))
    rivals = {times[work, m]: m for m in ("eager", "compile", "tf32", "tuned") if (work, m) in times}
    best = min(rivals) if rivals else None
    ratio = f"{best / ours:12.2f}x" if ours and best else f"{'-':>13}"
    share = f"{100 * floor / ours:13.0f} %" if ours and floor else f"{'-':>15}"
    held = f"{peaks[work, 'ours']:9.1f}, {peaks[work, rivals[best]]:.1f}" if ours and best and peaks[work, "ours"] else ""
    print(f"{work:<27}" + "".join(cell(work, s) for s in ("ours", "eager", "compile", "tf32", "tuned")) + f" {ratio}" + cell(work, "floor") + f" {share}{held}")
wrong = [f"{w}, {m}: {e}" for (w, m), e in errors.items() if e]
if wrong:
    print("errors against float64: " + "; ".join(wrong))
sys.exit(any(not times.get((w, "ours")) for w in works if w != "attention"))
PY
