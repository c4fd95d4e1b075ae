#!/usr/bin/env bash
# What intervals and verdicts are worth, by simulation with the very function that every table uses (lt_paired_of):
# coverage, false verdicts per table, power and noise, as the tables of docs/verdicts.md. Results do not depend on the
# number of jobs.
#
#   ./scripts/calibrate_verdicts.sh [TRIALS]      default 1000; at least 48
#   LT_BUILD=build LT_JOBS=2 ./scripts/calibrate_verdicts.sh
#
# TRIALS=1000 takes about 65 minutes of one core; more jobs share them. The program is a test of the build.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage calibrate_verdicts 1 -- "$@"
cd "$(dirname "$0")/.."
case ${1:-} in *[!0-9]*) echo "$0: TRIALS is a number, not \"$1\"" >&2; exit 2 ;; esac
program=${LT_BUILD:-build}/infer_test_verdicts trials=${1:-1000} jobs=${LT_JOBS:-$(nproc)}
[ -x "$program" ] || { echo "$0: there is no $program; build it with: cmake --build ${LT_BUILD:-build}" >&2; exit 5; }
fields=$(mktemp) started=$(date +%s)
trap 'rm -f "$fields"' EXIT
pids=()
for ((i = 0; i < jobs; i++)); do
    "$program" full "$trials" "$i" "$jobs" >>"$fields" &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null; do
        sleep 2
        printf '\rcalibrate: %d fields, %d s' "$(wc -l <"$fields")" $(($(date +%s) - started)) >&2
    done
    wait "$pid"
done
echo >&2
# One table per kind of figure: a line per sizes, differences and rows; a column per number of groups.
awk -F';' -v trials="$trials" '
    { key = $1 ";" $2 ";" $3 ";" $4; value[key ";" $5] = $6; seen[key] = 1 }
    END {
        n = split("coverage;width;false tables;false tables, rows alike;power;noise", kinds, ";")
        split("equal;1 to 4;1 to 8;nested 1-4;3 seeds, equal;3 seeds, far", sizes, ";")
        split("normal;t3;exponential;lognormal", laws, ";"); split("1;6;24", rows, ";")
        for (k = 1; k <= n; k++) {
            printf "\n%s\n\n| groups of | differences | rows | 8 groups | 12 | 20 | 40 |\n|---|---|---|---|---|---|---|\n", kinds[k]
            for (s = 1; s <= 6; s++) for (l = 1; l <= 4; l++) for (r = 1; r <= 3; r++) {
                key = kinds[k] ";" sizes[s] ";" laws[l] ";" rows[r]
                if (key in seen)
                    printf "| %s | %s | %s | %s | %s | %s | %s |\n", sizes[s], laws[l], rows[r], value[key ";8"], value[key ";12"],
                        value[key ";20"], value[key ";40"]
            }
        }
    }' "$fields"
echo
echo "$trials trials a field for coverage and tables of one row, a half of that for 6 rows, a sixth for 24, a quarter for power; $(($(date +%s) - started)) s with $jobs jobs"
