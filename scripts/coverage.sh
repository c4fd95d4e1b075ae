#!/usr/bin/env bash
# Executed lines of core, kernels, autograd and model/cache, by all tests; below 85 % in a room it fails.
#
#   ./scripts/coverage.sh              builds build-coverage/ without optimisation and runs every test: slow
#   ./scripts/coverage.sh model        only test programs whose name contains "model" (no limit is held then)
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/setup.sh packages
cmake --preset coverage >/dev/null
cmake --build --preset coverage >/dev/null
find build-coverage -name '*.gcda' -delete
LT_BUILD=build-coverage ./scripts/test.sh "${1:-}"

# gcov prints, per object, "File 'X'" and "Lines executed:P% of N"; tests and headers are not counted.
find build-coverage -name '*.gcda' ! -path '*_test*.dir/*' -print0 | sort -z |
    xargs -0 gcov --no-output --source-prefix "$PWD" --relative-only 2>/dev/null |
    awk -F"[':%]" -v all="$([ -z "${1:-}" ] && echo 1 || echo 0)" '
        /^File/ {file = $2; next}
        /^Lines executed/ && file ~ /\.c$/ && !(file in seen) {
            split($0, p, "[:% ]+")
            seen[file] = 1
            room = file ~ /^model\/cache\// ? "model/cache" : substr(file, 1, index(file, "/") - 1)
            lines[room] += p[5]; hit[room] += p[3] * p[5] / 100
            if (p[3] < 60 && p[5] >= 20) printf "  %-40s %5.1f %% of %d lines\n", file, p[3], p[5]
        }
        END {
            n = split("core kernels autograd model/cache data model infer train experiments", rooms, " ")
            for (i = 1; i <= n; i++) {
                room = rooms[i]
                if (!lines[room]) continue
                share = 100 * hit[room] / lines[room]
                printf "%-12s %5.1f %% of %5d lines\n", room, share, lines[room]
                if (all && i <= 4 && share < 85) {print "coverage: " room " is below 85 %"; bad = 1}
            }
            exit bad
        }'
