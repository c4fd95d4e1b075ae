#!/usr/bin/env bash
# Builds longtake and runs every test on this machine's CPU; the last line is "N passed, N failed".
#
#   ./scripts/test.sh [NAME]      only test programs whose name contains NAME
#   ./scripts/test.sh --gpu [NAME]    on this machine's NVIDIA GPU: float32, and where an op has it bf16, against the same
#                                     references and bounds; needs the packages of setup.sh and the CUDA Toolkit
#   LT_BUILD=DIR ./scripts/test.sh    test an existing build folder instead (sanitizers, coverage)
#   LT_SKIP=REGEX ./scripts/test.sh   without the test programs whose names match
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --gpu ]; then
    shift
    cmake --preset cuda ${LT_CUDA_ARCHITECTURES:+-DCMAKE_CUDA_ARCHITECTURES="$LT_CUDA_ARCHITECTURES"} >/dev/null
    cmake --build --preset cuda
    LT_BUILD=build-cuda
    export LT_TEST_DEVICE=cuda CUDA_LAUNCH_BLOCKING=1 # tests look at values right after a call
elif [ -z "${LT_BUILD:-}" ]; then
    ./scripts/setup.sh
    LT_BUILD=build
fi

passed=0 failed=0 log=$(mktemp)
trap 'rm -f "$log"' EXIT
mapfile -t programs < <(ninja -C "$LT_BUILD" -t targets all |
    sed -nE 's/^([a-z_0-9]*_test_?[a-z_0-9]*|tests_test_[a-z_0-9]*): (C|CXX|CUDA)_EXECUTABLE_LINKER.*/\1/p' |
    sort | grep -F -- "${1:-}" | grep -vE "${LT_SKIP:-^$}")
for program in "${programs[@]}"; do
    started=$(date +%s)
    status=0
    timeout 900 "$LT_BUILD/$program" >"$log" 2>&1 </dev/null || status=$?
    counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
    p=${counts%% passed*} f=${counts#*, } f=${f%% failed*}
    if [ -z "$counts" ] || { [ "$status" -ne 0 ] && [ "$f" = 0 ]; }; then # crashed, timed out, or ran nothing
        p=${p:-0} f=1
    fi
    if [ "$f" -gt 0 ]; then tail -n 40 "$log"; fi
    printf '%-40s %4d passed %3d failed  %3d s\n' "$program" "$p" "$f" $(($(date +%s) - started))
    passed=$((passed + p)) failed=$((failed + f))
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
