#!/usr/bin/env bash
# Builds longtake and runs every test on this machine's CPU; the last line is "N passed, N failed".
#
#   ./scripts/test.sh [NAME]      only test programs whose name contains NAME
#   ./scripts/test.sh --gpu [NAME]    on this machine's NVIDIA GPU, several at a time: the programs that know it, against the same
#                                     references and bounds as on the CPU, and those of attention a second time with the kernels
#                                     that do without tensor cores; installs nothing, needs the packages of setup.sh and the CUDA
#                                     Toolkit
#   LT_JOBS=N ./scripts/test.sh       N programs at a time: 1, or with --gpu half as many as there are processors, at most 12
#   LT_BUILD=DIR ./scripts/test.sh    test an existing build folder instead (sanitizers, coverage; with --gpu, a CUDA build)
#   LT_SKIP=REGEX ./scripts/test.sh   without the test programs whose names match
#
# From a fresh clone about 8 minutes of processor time, half of them the build. A line for each program as it ends, and
# every 10 s while one works.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage test 1 --gpu -- "$@"
cd "$(dirname "$0")/.."
jobs=${LT_JOBS:-1} gpu='' limit=900

# Unless LT_CUDA_ARCHITECTURES says otherwise, a build that does not exist yet is for this machine's GPUs.
build_for_gpu() {
    local wanted=${LT_CUDA_ARCHITECTURES:-} found
    found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -u | tr -d . | sed 's/^90$/90a/; s/$/-real/' | paste -sd ';') || true
    [ -n "$wanted" ] || [ -f build-cuda/build.ninja ] || wanted=$found
    cmake --preset cuda ${wanted:+-DCMAKE_CUDA_ARCHITECTURES="$wanted"} >/dev/null
    cmake --build --preset cuda
}

name=
for argument; do
    if [ "$argument" = --gpu ]; then gpu=1; else name=$argument; fi
done
if [ -n "$gpu" ]; then
    limit=300
    jobs=${LT_JOBS:-$(($(nproc) / 2))}
    [ -n "${LT_JOBS:-}" ] || jobs=$((jobs > 12 ? 12 : jobs < 1 ? 1 : jobs))
    if [ -z "${LT_BUILD:-}" ]; then
        build_for_gpu
        LT_BUILD=build-cuda
    fi
    export LT_TEST_DEVICE=cuda CUDA_LAUNCH_BLOCKING=1 # tests look at values right after a call
elif [ -z "${LT_BUILD:-}" ]; then
    ./scripts/setup.sh
    LT_BUILD=build
fi
# Threads that spin while they wait are in the way of other programs (core/parallel.h).
if [ "$jobs" = 1 ]; then export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000}; else export OMP_WAIT_POLICY=passive; fi
results=$(mktemp -d)
ticker=
trap 'rm -rf "$results"; [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true' EXIT # what fails here would be the exit status
export LT_BUILD limit results

# PROGRAM or PROGRAM:generic; a line when it has ended, and what it said if a test failed.
run_one() {
    local program=${1%:*} log=$results/$1.log started status=0 counts p f
    [ "$program" = "$1" ] || export LT_TEST_KERNELS=generic
    started=$(date +%s)
    touch "$results/$1.runs"
    timeout "$limit" "$LT_BUILD/$program" >"$log" 2>&1 </dev/null || status=$?
    counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
    p=${counts%% passed*} f=${counts#*, } f=${f%% failed*}
    if [ -z "$counts" ] || { [ "$status" -ne 0 ] && [ "$f" = 0 ]; }; then # crashed, timed out, or ran nothing
        p=${p:-0} f=1
    fi
    echo "$p $f" >"$results/$1.count"
    rm -f "$results/$1.runs"
    [ "$f" = 0 ] || counts=$(tail -n 40 "$log")$'\n'
    [ "$f" != 0 ] || counts=''
    printf '%s%-40s %4d passed %3d failed  %3d s\n' "$counts" "${1/:/ }" "$p" "$f" $(($(date +%s) - started))
}
export -f run_one

list_programs() {
    local program
    ninja -C "$LT_BUILD" -t targets all |
        sed -nE 's/^([a-z_0-9]*_test_?[a-z_0-9]*|tests_test_[a-z_0-9]*): (C|CXX|CUDA)_EXECUTABLE_LINKER.*/\1/p' |
        sort ${gpu:+-r} | { grep -F -- "${1:-}" || true; } | { grep -vE "${LT_SKIP:-^$}" || true; } |
        while IFS= read -r program; do # on a GPU the end-to-end tests, which take longest, begin first
            if [ -n "$gpu" ] && ! grep -q LT_TEST_DEVICE "$LT_BUILD/$program"; then continue; fi
            echo "$program"
            if [ -n "$gpu" ] && [[ $program == kernels_*attention* ]]; then echo "$program:generic"; fi
        done
}
# What runs, every 10 s.
tick() {
    local running
    while sleep 10 >/dev/null 2>&1; do
        running=$(cd "$results" && ls -tr -- *.runs 2>/dev/null | sed 's/\.runs$//' | paste -sd ' ')
        [ -z "$running" ] || echo "  ... $running ($SECONDS s; $(ls "$results" | grep -c '\.count$') of $programs done)"
    done
}

list_programs "$name" >"$results/list"
programs=$(wc -l <"$results/list")
[ "$programs" -gt 0 ] || { echo "test: there is no test program${name:+ whose name contains \"$name\"} in $LT_BUILD" >&2; exit 2; }
echo "test: $programs programs"
SECONDS=0
tick &
ticker=$!
xargs -P "$jobs" -I{} bash -c 'run_one {}' <"$results/list" || true # a program without a count below is a failure
kill "$ticker" && wait "$ticker" 2>/dev/null || true
ticker=
cat "$results"/*.count 2>/dev/null | awk -v programs="$programs" '{p += $1; f += $2}
    END {f += programs - NR; print p + 0 " passed, " f + 0 " failed"; exit !(p > 0 && f == 0)}'
