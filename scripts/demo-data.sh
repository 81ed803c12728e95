#!/bin/sh
# Text of six domains from Debian packages, for the demo: build/demo/pool/ gets about the same amount
# of each, build/demo/domain/NAME/ other files of the same source. Every third file goes to the
# domain's side, so that pool and domain never share a file.
#
#   scripts/demo-data.sh FOLDER [BYTES]     BYTES of pool text a source, default 1600000
set -eu

folder=$1
limit=${2:-1600000}
[ -e "$folder/complete" ] && exit 0
rm -rf "$folder"
mkdir -p "$folder"

# Reads names of files, one a line; copies their text, unpacked, to pool or domain until both have
# enough: the domain a third of the pool's.
take() {
    name=$1
    mkdir -p "$folder/pool/$name" "$folder/domain/$name"
    number=0
    pool=0
    domain=0
    while read -r file; do
        number=$((number + 1))
        if [ $((number % 3)) = 0 ]; then
            [ $domain -lt $((limit / 3)) ] || continue
            out=$folder/domain/$name/$number.txt
        else
            [ $pool -lt "$limit" ] || continue
            out=$folder/pool/$name/$number.txt
        fi
        gzip -dcf "$file" >"$out"
        size=$(wc -c <"$out")
        if [ $((number % 3)) = 0 ]; then
            domain=$((domain + size))
        else
            pool=$((pool + size))
        fi
        if [ $pool -ge "$limit" ] && [ $domain -ge $((limit / 3)) ]; then
            break
        fi
    done
    if [ $pool = 0 ] || [ $domain = 0 ]; then
        echo "demo-data.sh: no text of '$name' is installed; scripts/deps.sh --demo --install" >&2
        exit 1
    fi
    printf '%-9s %5d kB in the pool, %4d kB of the domain\n' "$name" $((pool / 1000)) \
        $((domain / 1000))
}

# Large files are cut first, so that there is something to tell apart.
cut_files() {
    mkdir -p "$folder/cut/$1"
    gzip -dcf | split -C "$2" - "$folder/cut/$1/"
}

files_of() {
    dpkg-query -L "$1" | grep -E "$2" | sort
}

files_of perl-doc '\.pod$' | take perl
files_of linux-doc-6.1 '/Documentation/.*\.rst(\.gz)?$' | take linux
files_of python3.11-doc '\.rst\.txt(\.gz)?$' | take python
files_of manpages '/man[1-8]/.*\.gz$' | take man
files_of dict-foldoc '\.dict\.dz$' | xargs cat | cut_files foldoc 30k
find "$folder/cut/foldoc" -type f | sort | take foldoc
files_of fortunes '/fortunes/[a-z-]*$' | while read -r f; do [ -f "$f" ] && cat "$f"; done |
    cut_files fortunes 20k
find "$folder/cut/fortunes" -type f | sort | take fortunes
rm -rf "$folder/cut"
touch "$folder/complete"
