#!/bin/sh
# Proves that includes point one way. Every room has a list of the rooms that it may include from;
# a room may always include from itself. Prints each violation as file:line and exits with 1.
#
#   scripts/check-layers.sh [ROOT]     ROOT: the tree to check; default: this one
set -eu

# room: what it may include from. Left to right in the design is top to bottom here. A shim wraps
# one library and knows nothing but base, so any room may use it.
rooms='
base:
shim:    base
text:    base shim
tensor:  base shim
weight:  base shim tensor
optim:   base shim tensor
model:   base shim tensor weight
data:    base shim text
file:    base shim text tensor weight model
run:     base shim text tensor weight optim model data file
methods: base shim text tensor weight optim model data file run
serve:   base shim text tensor weight optim model data file run methods
cli:     base shim text tensor weight optim model data file run methods serve
'
# Rooms from which the public header may be included: those that implement or use it.
public='run methods serve cli'

cd "${1:-$(dirname "$0")/..}"
list=$(mktemp)
trap 'rm -f "$list"' EXIT
find src include -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.hh' \) 2>/dev/null |
    sort >"$list"
if [ ! -s "$list" ]; then
    echo "check-layers: no sources under $(pwd)/src" >&2
    exit 1
fi

rooms="$rooms" public="$public" xargs awk '
function complain(text) {
    printf "%s:%d: %s\n", FILENAME, FNR, text
    bad++
}
function exists(path,   line, found) {
    found = (getline line < path) >= 0
    close(path)
    return found
}
BEGIN {
    count = split(ENVIRON["rooms"], lines, "\n")
    for (i = 1; i <= count; i++) {
        fields = split(lines[i], words, /[: ]+/)
        if (words[1] == "")
            continue
        known[words[1]] = 1
        allowed[words[1], words[1]] = 1
        for (j = 2; j <= fields; j++)
            allowed[words[1], words[j]] = 1
    }
    count = split(ENVIRON["public"], words, " ")
    for (i = 1; i <= count; i++)
        allowed[words[i], "adze.h"] = 1
}
FNR == 1 {
    files++
    split(FILENAME, parts, "/")
    room = parts[1] == "include" ? "include" : parts[2]
    if (room != "include" && !(room in known))
        complain("room \"" room "\" is not in the table of scripts/check-layers.sh")
}
/^[ \t]*#[ \t]*include[ \t]*["<]/ {
    total++
    quoted = $0 ~ /^[^"<]*"/
    path = $0
    sub(/^[^"<]*["<]/, "", path)
    sub(/[">].*/, "", path)
    split(path, parts, "/")
    target = parts[1]
    if (!quoted && !(target in known && exists("src/" path)))
        next
    if (room == "include")
        complain("the public header includes \"" path "\", which is private")
    else if (!quoted)
        complain("<" path "> is a header of this tree: write it in quotes")
    else if (path == "adze.h") {
        if (!((room, path) in allowed))
            complain(room " may not include the public header")
    } else if (!(target in known))
        complain("\"" path "\" does not start with a room")
    else if (room in known && !((room, target) in allowed))
        complain(room " may not include from " target ": \"" path "\"")
    else if (!exists("src/" path))
        complain("\"" path "\" does not exist")
}
END {
    if (bad)
        exit 1
    printf "check-layers: %d includes in %d files, all point one way\n", total, files
}' <"$list"
