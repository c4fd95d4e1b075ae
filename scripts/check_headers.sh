#!/usr/bin/env bash
# Every header that C++ or CUDA sources may include compiles on its own, as C11 and as C++17.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage check_headers 0 -- "$@"
cd "$(dirname "$0")/.."
flags=(-Wall -Wextra -Werror -D_GNU_SOURCE -I. -fsyntax-only -fopenmp)
bad=0
for header in $(git ls-files '*.h' ':!:tests' ':!:scripts'); do
    # Private to C sources: pieces of one module, loops and vectors of the CPU backend, fixtures of tests, and what
    # wraps HDF5's own headers.
    case $header in *_impl.h | *_internal.h | *_state.h | */cpu_*.h | kernels/vec.h | kernels/column_sums.h | */testing*.h | \
        data/h5_*.h) continue ;; esac
    # = {0} is how C clears a struct, which g++ takes for a list with gaps.
    for language in "c -std=gnu11" "c++ -std=c++17 -Wno-missing-field-initializers"; do
        # shellcheck disable=SC2086
        echo "#include \"$header\"" | cc -x $language "${flags[@]}" - ||
            { echo "check: $header does not compile as ${language%% *}"; bad=1; }
    done
done
exit $bad
