#!/bin/sh
# Builds the fuzz targets with clang and runs each from its seeds, a minute in all or as many seconds
# as the first argument says. New inputs go to build/fuzz/corpus; a crash is named and ends with 1.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-60}
cmake --preset fuzz >/dev/null
ninja -C build/fuzz --quiet
targets=$(find build/fuzz -maxdepth 2 -name 'fuzz_*' -type f -perm -u+x | sort)
[ -n "$targets" ] || {
    echo "fuzz.sh: there are no fuzz targets" >&2
    exit 1
}
each=$((seconds / $(echo "$targets" | wc -l)))
for target in $targets; do
    name=$(basename "$target" | sed 's/^fuzz_//')
    mkdir -p build/fuzz/corpus/"$name"
    echo "$name, $each s"
    "$target" -max_total_time="$each" -timeout=20 -rss_limit_mb=4000 -print_final_stats=0 \
        -verbosity=0 -artifact_prefix=build/fuzz/crash-"$name"- build/fuzz/corpus/"$name" \
        tests/fuzz/seeds/"$name"
done
