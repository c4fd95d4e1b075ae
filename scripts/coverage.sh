#!/usr/bin/env bash
# Executed lines of core, kernels, autograd and model/cache, by the tests of these rooms, of model/ and of parity alone;
# below 85 % in one of the four it fails. Tests and headers are not counted.
#
#   ./scripts/coverage.sh         builds build-coverage/ without optimisation; about 4 minutes on 2 cores
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage coverage 0 -- "$@"
cd "$(dirname "$0")/.."
./scripts/setup.sh packages
cmake --preset coverage >/dev/null
cmake --build --preset coverage >/dev/null
find build-coverage -name '*.gcda' -delete
LT_BUILD=build-coverage LT_SKIP='^(data|infer|train|experiments|api)_|^tests_test_[^p]' ./scripts/test.sh

# Per object gcov prints: File 'X', then: Lines executed:P% of N.
find build-coverage -name '*.gcda' ! -path '*_test*.dir/*' -print0 | sort -z |
    xargs -0 gcov --no-output --source-prefix "$PWD" --relative-only 2>/dev/null |
    awk -F"'" '
        /^File/ {file = $2; next}
        /^Lines executed/ && file ~ /\.c$/ && !(file in seen) {
            split($0, p, "[:% ]+") # Lines, executed, P, of, N
            seen[file] = 1
            room = file ~ /^model\/cache\// ? "model/cache" : substr(file, 1, index(file, "/") - 1)
            lines[room] += p[5]; hit[room] += p[3] * p[5] / 100
            if (room ~ /^(core|kernels|autograd|model\/cache)$/ && p[3] < 75) printf "  %-36s %5.1f %% of %d lines\n", file, p[3], p[5]
        }
        END {
            n = split("core kernels autograd model/cache", rooms, " ")
            for (i = 1; i <= n; i++) {
                share = lines[rooms[i]] ? 100 * hit[rooms[i]] / lines[rooms[i]] : 0
                printf "%-12s %5.1f %% of %5d lines\n", rooms[i], share, lines[rooms[i]]
                if (share < 85) {print "coverage: " rooms[i] " is below 85 %"; bad = 1}
            }
            exit bad
        }'
