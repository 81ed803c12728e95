#!/bin/sh
# The Debian 12 packages that adze needs, and their installation.
#
#   scripts/deps.sh                      lists what the build needs, and what of it is missing
#   scripts/deps.sh --tests --install    installs what is missing, through sudo when not root
#
#   --tests   also what the tests need        --demo    also the text that `make demo` reads
#   --lint    also the checkers               --fuzz    also what the fuzz targets need
#   --peers   also what live comparisons with other programs need
#   --quiet   with --install: say nothing when nothing is missing
set -eu

build='make gcc libc6-dev cmake ninja-build pkg-config libjansson-dev libsqlite3-dev libyaml-dev
zlib1g-dev libzstd-dev libssl-dev libxxhash-dev libpcre2-dev libutf8proc-dev
libmicrohttpd-dev'
tests='libcmocka-dev chromium curl man-db'
text='linux-doc-6.1 perl-doc python3.11-doc manpages fortunes dict-foldoc debian-reference-en'
lint='clang-format clang-tidy cppcheck'
fuzz='clang libclang-rt-dev'
peers='python3 python3-venv'

wanted=$build
install=no
quiet=no
for argument; do
    case $argument in
    --tests) wanted="$wanted $tests" ;;
    --demo) wanted="$wanted $text" ;;
    --lint) wanted="$wanted $lint" ;;
    --fuzz) wanted="$wanted $fuzz" ;;
    --peers) wanted="$wanted $peers" ;;
    --install) install=yes ;;
    --quiet) quiet=yes ;;
    --help | -h)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "deps.sh: unknown option $argument; --help lists them" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps.sh: this is no Debian system; install the like of these by its own means:" >&2
    echo $wanted
    exit 1
fi

# Small images leave documentation out of packages that count as installed. The last file of a
# package tells: where it is missing, the package is installed again, with its files.
is_there() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] || return 1
    case " $text " in *" $1 "*) ;; *) return 0 ;; esac
    last=$(dpkg-query -L "$1" | tail -n 1)
    [ -e "$last" ] || [ -L "$last" ]
}
missing=
for package in $wanted; do
    is_there "$package" || missing="$missing $package"
done

if [ $install = no ]; then
    for package in $wanted; do
        case " $missing " in
        *" $package "*) echo "$package (missing)" ;;
        *) echo "$package" ;;
        esac
    done
    exit 0
fi
if [ -z "$missing" ]; then
    [ $quiet = yes ] || echo "All packages are there."
    exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps.sh: packages are missing, and installing them needs root. As root, run:" >&2
        echo "    apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "Installing:$missing"
get_packages() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet \
        --no-install-recommends --reinstall \
        -o Dpkg::Use-Pty=0 -o Dpkg::Options::='--path-include=/usr/share/*' $missing
}
# A fresh machine has no package lists yet, and old lists name versions that are gone.
apt-cache show $missing >/dev/null 2>&1 && get_packages && exit 0
$as_root apt-get update --quiet
get_packages
