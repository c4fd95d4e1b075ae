#!/usr/bin/env bash
# Installs what longtake needs on Debian 12 (root or sudo) and builds it. Safe to run again: it does only what is missing.
#
#   ./scripts/setup.sh            packages, then the release build in build/
#   ./scripts/setup.sh packages   packages only
set -euo pipefail
cd "$(dirname "$0")/.."

required=(build-essential cmake ninja-build pkg-config libhdf5-dev libcjson-dev libopenblas-openmp-dev)
optional=(libavformat-dev libavcodec-dev libavutil-dev libswscale-dev libopenmpi-dev openmpi-bin gnuplot-nox)
# LT_MINIMAL=1 leaves the optional parts out: ingest, mp4 output, several processes and plots then answer with exit code 5.
wanted=("${required[@]}")
[ -n "${LT_MINIMAL:-}" ] || wanted+=("${optional[@]}")

missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    run=()
    [ "$(id -u)" = 0 ] || run=(sudo)
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
[ "${1:-}" = packages ] && exit 0

[ -f build/build.ninja ] || cmake --preset release
cmake --build --preset release
