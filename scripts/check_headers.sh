#!/usr/bin/env bash
# Every public header compiles on its own, as C11 and as C++17 (CUDA sources include them).
set -euo pipefail
cd "$(dirname "$0")/.."
for header in $(git ls-files 'core/*.h' 'kernels/*.h' 'autograd/*.h' 'model/*.h' 'infer/*.h' 'train/*.h' 'data/*.h' 'experiments/*.h'); do
    case $header in *_impl.h | *_internal.h | *cpu_*.h | */vec.h | *_state.h) continue ;; esac # private to C sources
    for language in "c -std=gnu11" "c++ -std=c++17"; do
        # shellcheck disable=SC2086
        echo "#include \"$header\"" | cc -x $language -Wall -Wextra -D_GNU_SOURCE -I. -fsyntax-only - ||
            { echo "check: $header does not compile as ${language%% *}"; exit 1; }
    done
done
