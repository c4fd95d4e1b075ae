#!/usr/bin/env bash
# Fuzzes what reads files and texts of others (tests/fuzz): clang's libFuzzer with AddressSanitizer and
# UndefinedBehaviorSanitizer.
#
#   ./scripts/fuzz.sh [NAME] [SECONDS]    builds into build-fuzz and runs each target whose name contains NAME for SECONDS (60), one
#                                         after the other; exits 1 if an input crashed, leaked, hung or took too much memory
#   ./scripts/fuzz.sh --pack FILE.tar.gz  targets with the libraries they need, and this script, for a machine without them
#   LT_FUZZ_JOBS=N                        N targets at a time (1)
#   LT_FUZZ_OUT=DIR                       where seeds, corpus, logs and inputs that failed go (build-fuzz/out)
#
# Needs: clang with compiler-rt, and what setup.sh installs.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage fuzz 2 --pack -- "$@"
die() { echo "fuzz.sh: $*" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)

build() {
    command -v clang >/dev/null || die "clang is missing: apt-get install clang"
    cd "$here/.."
    cmake --preset fuzz >/dev/null
    local targets=()
    for f in tests/fuzz/test_*.c; do targets+=("tests_fuzz_$(basename "$f" .c)"); done
    cmake --build --preset fuzz --target "${targets[@]}"
}

# Programs without the debug information that only a debugger reads, and every shared library but the C library's own.
pack() {
    local folder
    folder=$(mktemp -d)
    trap "rm -rf '$folder'" EXIT
    mkdir "$folder/fuzz" "$folder/fuzz/lib"
    cp "$here/fuzz.sh" "$here/usage.sh" "$folder/fuzz"
    for program in build-fuzz/tests_fuzz_test_*; do
        objcopy --strip-debug "$program" "$folder/fuzz/$(basename "$program")"
        ldd "$program" | awk '$3 ~ /^\// {print $3}' | grep -vE '/lib(c|m|dl|rt|pthread|resolv)\.so' || true
    done | sort -u | xargs -I{} cp -L {} "$folder/fuzz/lib"
    tar -C "$folder" -czf "$1" fuzz
    echo "fuzz.sh: $1: $(du -h "$1" | cut -f1), unpacked $(du -sh "$folder/fuzz" | cut -f1)"
}

# One target; its last line says how it went.
run_one() {
    local program=$1 name=${1##*tests_fuzz_test_} status=0 out
    out=$LT_FUZZ_OUT/$name
    mkdir -p "$out/corpus" "$out/crash"
    export TMPDIR=$scratch OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    FUZZ_SEEDS=$out/seeds "$program"
    "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=131072 -print_final_stats=1 \
        -artifact_prefix="$out/crash/" "$out/corpus" "$out/seeds" >"$out/log" 2>&1 || status=$?
    printf 'fuzz: %-12s %9s inputs, coverage %s, %s failed\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/log")" \
        "$(grep -oE 'cov: [0-9]+' "$out/log" | tail -n 1 | cut -c6-)" "$(find "$out/crash" -type f | wc -l)"
    [ "$status" = 0 ] || tail -n 60 "$out/log"
    return "$status"
}
export -f run_one

if [ "${1:-}" = --pack ]; then
    [ $# = 2 ] || die "--pack wants a file name"
    file=$(realpath -m "$2")
    build
    pack "$file"
    exit 0
fi
wanted=${1:-} seconds=${2:-60}
if [[ $wanted =~ ^[0-9]+$ ]]; then seconds=$wanted wanted=; fi
[[ $seconds =~ ^[0-9]+$ ]] || die "SECONDS: found $seconds, expected a number"
if [ -d "$here/lib" ]; then # unpacked
    programs=$here
    export LD_LIBRARY_PATH=$here/lib
else
    build
    programs=$PWD/build-fuzz
fi
export LT_FUZZ_OUT=${LT_FUZZ_OUT:-$programs/out} seconds
scratch=$(mktemp -d -p "$([ -d /dev/shm ] && echo /dev/shm || echo /tmp)")
export scratch
trap 'rm -rf "$scratch"' EXIT
mapfile -t list < <(find "$programs" -maxdepth 1 -name "tests_fuzz_test_*$wanted*" -type f | sort)
[ ${#list[@]} -gt 0 ] || die "no target's name contains \"$wanted\""
printf '%s\n' "${list[@]}" | xargs -P "${LT_FUZZ_JOBS:-1}" -I{} bash -c 'run_one {}' || exit 1
