#!/usr/bin/env bash
# The op tests under NVIDIA's compute-sanitizer on this machine's GPU; a line per program and tool, status 1 after any
# error.
#
#   ./scripts/sanitize_gpu.sh [NAME]                only test programs whose name contains NAME
#   LT_BUILD=DIR ./scripts/sanitize_gpu.sh          an existing CUDA build; build-cuda (`cmake --preset cuda`) is brought up to date
#   LT_JOBS=N LT_LIMIT=SECONDS LT_TOOLS="memcheck"  programs at a time (8), how long one may take (220), which of the tools
#
# memcheck and initcheck watch all of them, racecheck a few small tests of the kernels that share memory between
# threads. Workspaces are not filled beforehand, no guard words lie behind operands (LT_TEST_POISON=off), and large
# operands are left out. Nothing else may fill the GPU meanwhile: each check takes 256 MiB of it, besides what the tool
# takes, and fails without.
#
# What the library's products read and write counts too: initcheck must see what they write to know what is initialised.
# On Hopper it does not see all of that, seemingly because tensor maps store it (checks of cp.async.bulk.tensor are off
# by default where the tool has them), and calls the sums of products in a workspace uninitialised. So it leaves out the
# kernels that read those. That they read nothing else, scripts/test.sh --gpu shows: it fills a workspace with NaNs
# before each op.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage sanitize_gpu 1 -- "$@"
cd "$(dirname "$0")/.."
tools=${LT_TOOLS:-memcheck initcheck racecheck} limit=${LT_LIMIT:-220}
readers_of_products=kns=splitKreduce_kernel,kns=fold_blocks,kns=scale_sums
sanitizer=$(PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer command -v compute-sanitizer || true)
[ -n "$sanitizer" ] || { echo "sanitize: compute-sanitizer was not found; it comes with the CUDA Toolkit" >&2; exit 5; }
if [ -z "${LT_BUILD:-}" ]; then
    [ -f build-cuda/build.ninja ] || cmake --preset cuda >/dev/null
    cmake --build --preset cuda
    LT_BUILD=build-cuda
fi
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
export LT_TEST_DEVICE=cuda LT_TEST_SMALL=1 LT_TEST_POISON=off CUDA_LAUNCH_BLOCKING=1 OMP_WAIT_POLICY=passive
export LT_BUILD limit readers_of_products results sanitizer

# TOOL PROGRAM[:generic] TEST: the tests whose name contains TEST, or with - all of them.
run_one() {
    local tool=$1 program=${2%:*} log=$results/$1.$2.$3 started status=0 verdict=clean arguments=() options=()
    [ "$3" = - ] || arguments=("$3")
    [ "$tool" != initcheck ] || options=(--kernel-name-exclude "$readers_of_products")
    [ "$program" = "$2" ] || export LT_TEST_KERNELS=generic
    started=$(date +%s)
    timeout "$limit" "$sanitizer" --tool "$tool" --error-exitcode 99 --report-api-errors no --print-limit 10 "${options[@]}" \
        "$LT_BUILD/$program" "${arguments[@]}" >"$log" 2>&1 </dev/null || status=$?
    case $status in
    0) grep -qE '^[1-9][0-9]* passed, 0 failed' "$log" || verdict='no test ran' ;;
    99) verdict=$(grep -oE 'ERROR SUMMARY: .*|RACECHECK SUMMARY: .*' "$log" | tail -n 1) ;;
    124) verdict="not done after $limit s" ;;
    *) verdict="exit $status: $(grep -E 'passed, |Error|error' "$log" | tail -n 1 | cut -c1-80)" ;;
    esac
    [ "$verdict" = clean ] || { grep -E '^=========|failed|FAILED|: status ' "$log" | grep -vE '^=+ *$' | head -n 60 >"$log.bad"; touch "$results/failed"; }
    printf '%-10s %-36s %4d s  %s\n' "$tool" "${2/:/ }${arguments[*]:+ ($3)}" $(($(date +%s) - started)) "${verdict:-errors}"
}
export -f run_one

list_runs() {
    local tool program
    for tool in $tools; do
        if [ "$tool" = racecheck ]; then
            printf 'racecheck kernels_%s\n' 'norm_test gradients' 'cross_attention_test masks' 'cross_attention_test:generic masks' \
                'attention_test_state blocks_and' 'attention_test_state:generic blocks_and' 'attention_test_output several' \
                'attention_test_output:generic several' 'glu_depthwise_test backward_adds' 'linear_test no_rows'
            continue
        fi
        for program in "$LT_BUILD"/kernels_*test*; do
            program=${program##*/}
            if [ "$program" = kernels_test_check ] || ! grep -q LT_TEST_DEVICE "$LT_BUILD/$program"; then continue; fi
            echo "$tool $program -"
            if [[ $program == *attention* ]]; then echo "$tool $program:generic -"; fi
        done
    done
}
list_runs | { grep -F -- "${1:-}" || true; } >"$results/runs"
[ -s "$results/runs" ] || { echo "sanitize: no op test with \"${1:-}\" in $LT_BUILD" >&2; exit 2; }
xargs -P "${LT_JOBS:-8}" -L 1 bash -c 'run_one "$@"' _ <"$results/runs" || touch "$results/failed"
for bad in "$results"/*.bad; do
    [ -f "$bad" ] && printf '\n== %s\n' "$(basename "$bad" .bad)" && cat "$bad"
done
if [ -f "$results/failed" ]; then echo "sanitize: errors"; exit 1; fi
echo "sanitize: $(wc -l <"$results/runs") runs, all clean ($SECONDS s)"
