#!/bin/sh
# Proves the README on a machine that has nothing: builds a bare Debian 12 in a folder, copies a
# clean clone of the committed tree into it, and runs `make demo` and `make test` there.
#
#   sudo scripts/bare-debian.sh [options] [COMMAND...]
#
#   COMMAND          what to run in the clone, each by a shell; default: "make demo" "make test"
#   --root DIR       where the bare system is built; default: a new folder under $TMPDIR or /var/tmp
#   --keep           leave it there afterwards; a later --root DIR uses it again, as it was left
#   --mirror URL     package mirror; default: the one in this machine's apt sources
#   --user           run the commands as an ordinary user with sudo, instead of as root
#
# Needs root, debootstrap, git, about 4 GB of disk, and the mirror. What the machine's apt needs to
# reach its mirror (proxies, say) is taken over. Mounts are made in a mount namespace of their own,
# so that none outlives this program.
set -eu

release=bookworm
script=$(readlink -f "$0")
tree=$(dirname "$(dirname "$script")")
root= keep=no mirror= user=no

fail() {
    echo "bare-debian: $*" >&2
    exit 1
}

if [ "$(id -u)" -ne 0 ]; then
    fail "root is needed to build the system; run it with sudo"
fi
for tool in debootstrap git unshare chroot; do
    command -v $tool >/dev/null || fail "$tool is missing; apt-get install debootstrap git mount"
done
if [ -z "${BARE_DEBIAN_INSIDE:-}" ]; then
    BARE_DEBIAN_INSIDE=yes exec unshare --mount --propagation private "$script" "$@" ||
        fail "no mount namespace can be made here"
fi

while [ $# -gt 0 ]; do
    case $1 in
    --root | --mirror)
        [ $# -ge 2 ] || fail "$1 needs a value"
        if [ "$1" = --root ]; then root=$2; else mirror=$2; fi
        shift
        ;;
    --keep) keep=yes ;;
    --user) user=yes ;;
    --help | -h)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$script"
        exit 0
        ;;
    -*) fail "unknown option $1; --help lists them" ;;
    *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || set -- "make demo" "make test"

# "URL suite" of each Debian source of this machine.
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' |
    awk -v release=$release '$2 == release || $2 == release "-updates" ||
        $2 == release "-security"' | sort -u)
if [ -n "$mirror" ]; then
    sources="$mirror $release"
fi
mirror=$(echo "$sources" | awk -v release=$release '$2 == release { print $1; exit }')
[ -n "$mirror" ] || fail "apt knows no mirror of $release here; name one with --mirror"

[ -n "$root" ] || root=$(mktemp -d "${TMPDIR:-/var/tmp}/bare-debian.XXXXXX")
mkdir -p "$root"
root=$(readlink -f "$root")
[ "$root" != / ] || fail "--root must not be this machine's own root"

clean_up() {
    for mount in dev/shm dev/pts sys proc; do
        umount "$root/$mount" 2>/dev/null || true
    done
    if [ $keep = yes ]; then
        echo "bare-debian: left in $root"
    elif grep -q " $root/" /proc/self/mounts; then
        echo "bare-debian: something is still mounted under $root, so it stays" >&2
    else
        rm -rf --one-file-system "$root"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

make_system() {
    debootstrap --variant=minbase --include=ca-certificates $release "$root" "$mirror" \
        >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        fail "debootstrap failed"
    }
    rm -f "$root.log"
    echo "$sources" | sed 's/\(.*\) \(.*\)/deb \1 \2 main/' >"$root/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(http|https|Check-)' \
        >"$root/etc/apt/apt.conf.d/00machine" || true
}
[ -e "$root/etc/debian_version" ] || make_system
chmod 755 "$root" # a folder fresh from mktemp is closed to all but root
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc" || fail "cannot mount: this needs a machine that allows it"
mount -t sysfs -o ro sys "$root/sys" 2>/dev/null || true
mkdir -p "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts" 2>/dev/null || true

inside() {
    chroot "$root" env -i HOME=/home PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
}

# `make` is all that the README asks for; git brought the tree.
inside sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy \
    --no-install-recommends make' >"$root/var/log/bare-debian.log" 2>&1 ||
    { tail -n 20 "$root/var/log/bare-debian.log" >&2 && fail "apt does not work in the new system"; }
rm -rf "$root/adze"
git clone --quiet --no-hardlinks "$tree" "$root/adze" 2>/dev/null ||
    git -c safe.directory="*" clone --quiet --no-hardlinks "$tree" "$root/adze"
if [ $user = yes ]; then
    inside sh -c 'apt-get install -qy --no-install-recommends sudo >/dev/null &&
        { id newcomer >/dev/null 2>&1 || useradd -m newcomer; } &&
        echo "newcomer ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/newcomer &&
        chown -R newcomer /adze'
fi

status=0
for command; do
    echo "=== $command (on a bare Debian $(cat "$root/etc/debian_version"))"
    begin=$(date +%s)
    if [ $user = yes ]; then
        inside su newcomer -c "cd /adze && $command" || status=$?
    else
        inside sh -c "cd /adze && $command" || status=$?
    fi
    echo "=== $command: exit $status after $(($(date +%s) - begin)) s"
    [ $status -eq 0 ] || break
done
exit $status
