#!/usr/bin/env bash
# The README's two commands on a Debian 12 that has nothing: a debootstrap minbase chroot, the tree of HEAD without
# .git, and in it ./scripts/test.sh and ./scripts/demo.sh. Their exit statuses and last lines come at the end; 0 when
# both are 0.
#
#   ./scripts/fresh_debian.sh [FOLDER]     as root; keeps the chroot in FOLDER, to be used again; without one it is removed
#   LT_RUN="test demo" ./scripts/fresh_debian.sh    which of the two
#
# Takes Debian's mirror and apt's settings from this machine. 2 GB of disk; about 20 minutes on 2 quiet cores, with a
# line every 10 s.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
check_usage fresh_debian 1 -- "$@"
[ "$(id -u)" = 0 ] || { echo "fresh_debian: a chroot needs root" >&2; exit 4; }
command -v debootstrap >/dev/null || { echo "fresh_debian: apt-get install debootstrap" >&2; exit 5; }
root=${1:-$(mktemp -d)}
mkdir -p "$root"
root=$(cd "$root" && pwd)
cd "$(dirname "$0")/.."

leave() {
    umount "$root/dev/pts" "$root/dev" "$root/proc" 2>/dev/null || true
    [ -n "$keep" ] || if mountpoint -q "$root/proc" || mountpoint -q "$root/dev"; then
        echo "fresh_debian: $root is still in use, and stays" >&2
    else
        rm -rf --one-file-system "$root"
    fi
}
keep=${1:-}
trap leave EXIT
[ -e "$root/etc/debian_version" ] || debootstrap --variant=minbase bookworm "$root" ${LT_MIRROR:+"$LT_MIRROR"}
cp /etc/resolv.conf "$root/etc/resolv.conf"
for settings in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/99*; do
    [ ! -f "$settings" ] || cp "$settings" "$root/etc/apt/apt.conf.d/"
done
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
rm -rf "$root/root/longtake"
mkdir "$root/root/longtake"
git archive HEAD | tar x -C "$root/root/longtake"

bad=0 said=()
for command in ${LT_RUN:-test demo}; do
    status=0 began=$SECONDS
    chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        bash -c "cd /root/longtake && exec ./scripts/$command.sh" 2>&1 | tee "$root/root/$command.log" || status=$?
    [ "$status" = 0 ] || bad=1
    said+=("$command.sh: exit $status after $((SECONDS - began)) s: $(grep . "$root/root/$command.log" | tail -n 1)")
done
printf '%s\n' "" "${said[@]}"
exit $bad
