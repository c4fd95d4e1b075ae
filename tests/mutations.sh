#!/usr/bin/env bash
# The mutation check: can the parity test fail? In a scratch copy of the tree, one fault at a time goes into the model,
# and tests/test_parity.c must turn red for each. The real tree is only read.
#
#   ./tests/mutations.sh          about a minute on 2 cores; exits 1 if a fault goes unseen
set -euo pipefail
. "$(dirname "$0")/../scripts/usage.sh"
check_usage mutations 0 -- "$@"
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r CMakeLists.txt cmake core kernels autograd data model tests "$scratch"
cmake -S "$scratch" -B "$scratch/build" -G Ninja -DLT_CUDA=off >"$scratch/log"

# Builds the copy and runs the test: 0 green, 1 red, anything else is a fault of this script.
parity() {
    cmake --build "$scratch/build" --target tests_test_parity >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 2; }
    local status=0
    "$scratch/build/tests_test_parity" >"$scratch/log" 2>&1 || status=$?
    passed=$(sed -nE 's/^([0-9]+) passed, [0-9]+ failed$/\1/p' "$scratch/log")
    failed=$(sed -nE 's/^[0-9]+ passed, ([0-9]+) failed$/\1/p' "$scratch/log")
    return $status
}

unseen=0
# mutate WHAT FILE FROM TO: FROM is a fixed string that occurs once.
mutate() {
    local what=$1 file=$2 from=$3 to=$4
    [ "$(grep -cF -- "$from" "$file")" = 1 ] || { echo "mutations: $file no longer has one line with: $from"; exit 2; }
    FROM=$from TO=$to awk '{at = index($0, ENVIRON["FROM"])
        if (at) $0 = substr($0, 1, at - 1) ENVIRON["TO"] substr($0, at + length(ENVIRON["FROM"]))
        print}' "$file" >"$scratch/$file"
    local status=0
    parity || status=$?
    if [ "$status" = 1 ] && [ "${failed:-0}" -gt 0 ]; then
        printf '%-36s red, %s of %s tests failed\n' "$what" "$failed" $((passed + failed))
    else
        printf '%-36s NOT SEEN (exit %s)\n' "$what" "$status"
        unseen=1
    fi
    cp "$file" "$scratch/$file"
}

parity || { echo "mutations: the parity test is red without any mutation"; cat "$scratch/log"; exit 2; }
mutate "RoPE turns the other way" kernels/attention/rope.c "= s * shrink + c * rest;" "= -(s * shrink + c * rest);"
mutate "cross-attention ignores its mask" kernels/cross_attention/cpu.c "if (!lt_is_empty(mask))" "if (0)"
mutate "the tail is dropped" kernels/temporal_conv/cpu.c "if (tail) LT_TRY(apply(" "if (0) LT_TRY(apply("
mutate "z sums rotated keys" kernels/attention/cpu_state.c "sum += b;" "sum += lt_rotate(b, &angles, i);"
exit $unseen
