#!/usr/bin/env bash
# Installs what longtake needs on Debian 12 (as root, or with sudo) and builds it. Safe to run again: it does only what
# is missing, and needs neither root nor a network when nothing is.
#
#   ./scripts/setup.sh            packages, then the release build in build/
#   ./scripts/setup.sh packages   packages only
#   ./scripts/setup.sh list       prints the packages that are missing, and does nothing
#
# LT_MINIMAL=1 leaves the optional packages out: ingest, mp4 output, several processes and plots then answer with exit
# code 5. On another system, install the equivalents of what `list` prints; cmake says which it finds.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage setup 1 -- "$@"
cd "$(dirname "$0")/.."
say() { echo "setup: $*"; }
fail() { echo "setup: $2" >&2 && exit "$1"; }
case ${1:-} in '' | packages | list) ;; *) fail 2 "\"$1\" is neither packages nor list" ;; esac

required=(build-essential cmake ninja-build pkg-config libhdf5-dev libcjson-dev libopenblas-openmp-dev libxxhash-dev)
optional=(libavformat-dev libavcodec-dev libavutil-dev libswscale-dev libopenmpi-dev openmpi-bin)
wanted=("${required[@]}")
[ -n "${LT_MINIMAL:-}" ] || wanted+=("${optional[@]}")

find_missing() {
    local package
    missing=()
    for package in "${wanted[@]}"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
}

# apt-get with a line every 10 s, and its last words when it fails.
apt_get() {
    local log status=0 started=$SECONDS ticker
    log=$(mktemp)
    while sleep 10 >/dev/null 2>&1; do say "apt-get $1, $((SECONDS - started)) s: $(grep . "$log" | tail -n 1 | cut -c1-90)"; done &
    ticker=$!
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" >"$log" 2>&1 </dev/null || status=$?
    kill "$ticker" 2>/dev/null && wait "$ticker" 2>/dev/null || true
    [ "$status" = 0 ] || tail -n 5 "$log" | sed 's/^/  /' >&2
    rm -f "$log"
    return "$status"
}

install_missing() {
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail 4 "packages are missing, and this is neither root nor is there sudo. As root: apt-get install ${missing[*]}"
        as_root=(sudo)
        sudo -n true 2>/dev/null || sudo -v || fail 4 "sudo gave no leave. As root: apt-get install ${missing[*]}"
    fi
    say "installing ${missing[*]}, and what they need: 1 to 5 minutes"
    apt_get update || say "the list of packages could not be renewed; trying with the one that is here"
    apt_get install -y --no-install-recommends "${missing[@]}" ||
        fail 4 "apt-get could not install them (its last words are above): is there a network, space in /var (df -h /var) and no other apt running?"
}

if command -v dpkg-query >/dev/null; then
    find_missing
    if [ "${1:-}" = list ]; then
        [ ${#missing[@]} = 0 ] || printf '%s\n' "${missing[@]}"
        exit 0
    fi
    [ ${#missing[@]} = 0 ] || install_missing
elif [ "${1:-}" = list ]; then
    printf '%s\n' "${wanted[@]}"
    exit 0
else
    say "no dpkg here, so nothing is installed; the build says what it misses"
fi
[ "${1:-}" = packages ] && exit 0

mkdir -p build 2>/dev/null && [ -w build ] || fail 4 "$PWD/build cannot be written; choose a clone of your own, or mend its permissions"
[ -f build/build.ninja ] || cmake --preset release
say "building in build/: about 4 minutes of processor time from scratch ($(nproc) processors here)"
cmake --build --preset release || fail 4 "the build failed; the compiler's words are above (df -h . shows the space left)"
