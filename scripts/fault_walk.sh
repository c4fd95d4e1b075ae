#!/usr/bin/env bash
# Lets each call for files of each command fail once (EIO, ENOSPC, EINTR, short), runs the command again and compares
# what it makes with an undisturbed run (tests/fault/test_fault.c). Prints per command how many calls there are, were
# tried and went wrong.
#
#   ./scripts/fault_walk.sh [COMMAND]      ingest, scenes, train, resumed, generate, ablate or report; default: all
#   LT_FAULT_ANY=1                         the calls of libraries (HDF5, FFmpeg) too
#   LT_JOBS=N                              calls that fail at a time, each in a process of its own (1)
#   LT_BUILD=DIR                           an existing build folder (build)
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage fault_walk 1 -- "$@"
cd "$(dirname "$0")/.."
if [ -z "${LT_BUILD:-}" ]; then
    ./scripts/setup.sh
    LT_BUILD=build
fi
export LT_FAULT=all OMP_WAIT_POLICY=passive
jobs=${LT_JOBS:-1} logs=$(mktemp -d) bad=0 running=()
trap 'rm -rf "$logs"' EXIT
for part in $(seq "$jobs"); do
    LT_FAULT_PART=$part/$jobs "$LT_BUILD/tests_fault_test_fault" ${1:+"$1"} >"$logs/$part" 2>&1 &
    running+=($!)
done
for pid in "${running[@]}"; do wait "$pid" || bad=1; done
grep -hvE ' calls, | passed, ' "$logs"/* || true
awk '/ calls, .* tried, / {key = sprintf("%-9s %-7s", $1, $2); if (!(key in tried)) order[n++] = key
    calls[key] = $3; tried[key] += $5; failed[key] += $7; all += $5; wrong += $7}
    END {for (i = 0; i < n; i++) printf "%s %5d calls, %5d tried, %5d failures\n", order[i], calls[order[i]], tried[order[i]], failed[order[i]]
        printf "%d faults, %d failures\n", all, wrong}' "$logs"/*
exit $bad
