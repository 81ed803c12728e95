#!/bin/sh
# Everything that can be said about the sources without running them: format, include direction,
# length, leftovers, cppcheck, clang-tidy. Runs all checks, prints what each found, and exits with
# 1 when any found something. About four minutes on two cores at most.
#
#   scripts/lint.sh            all checks
#   scripts/lint.sh FILE.c..   clang-tidy on these files only
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
jobs=$(nproc)
longest=900 # lines in a file

folders=
for folder in src include tests bench docs; do
    [ -d $folder ] && folders="$folders $folder"
done
sources=$(find $folders -name '*.[ch]' | sort)

for tool in clang-format clang-tidy cppcheck cmake; do
    if ! command -v $tool >/dev/null; then
        echo "lint: $tool is missing; scripts/deps.sh --lint --install brings it" >&2
        exit 1
    fi
done

# Runs a check, and shows its output only when it fails.
check() {
    title=$1
    shift
    begin=$(date +%s)
    if "$@" >"$log" 2>&1; then
        echo "ok    $title ($(($(date +%s) - begin)) s)"
    else
        echo "FAIL  $title"
        cat "$log"
        failed=1
    fi
}

format() {
    echo "$sources" | xargs clang-format --dry-run --Werror
}

lengths() {
    { echo "$sources" && find scripts -type f; } | xargs awk -v longest=$longest '
        FNR == longest + 1 { print FILENAME ": more than " longest " lines"; bad = 1 }
        END { exit bad }'
}

# The words are put together here so that this file does not find itself.
leftovers() {
    words='TO''DO|FIX''ME|XX''X|HA''CK'
    ! { echo "$sources" && find scripts cmake -type f 2>/dev/null && echo CMakeLists.txt; } |
        xargs grep -nwE "$words"
}

# Suppressed: readdir, which is safe for threads that each have a stream; scratch memory that serves
# several types; the logarithm of an empty sum; macros of libraries, whose headers it does not read.
analyze() {
    cppcheck --quiet --error-exitcode=1 -j "$jobs" --std=c11 --platform=unix64 --library=posix \
        --enable=warning,performance,portability --inline-suppr -I src -I include \
        -D_GNU_SOURCE -D__x86_64__ -D__linux__ -U__AVX2__ -U__AVX512F__ -U__AVX512BF16__ \
        --suppress=missingIncludeSystem --suppress=unusedStructMember \
        --suppress=readdirCalled --suppress=unknownMacro --suppress=invalidPointerCast \
        --suppress=invalidFunctionArg:src/tensor/kernels/rows_template.h \
        --suppress=invalidFunctionArg:src/model/kv_cache.c src
}

# Kernels are one template per instruction set, of which the plain build and the one with
# intrinsics are checked. One file a process, as the analyzer mistakes what an earlier file left
# behind for uninitialized arguments. The notes about suppressed warnings are not wanted.
tidy() {
    cmake --preset release >/dev/null
    files=$*
    [ -n "$files" ] || files=$(find src -name '*.c' ! -name '*_avx2.c' ! -name '*_avx512.c' | sort)
    status=0
    echo "$files" | tr ' ' '\n' | xargs -P "$jobs" -n 1 clang-tidy -p build --quiet >"$log.tidy" \
        2>&1 || status=1
    grep -vE '^[0-9]+ warnings? generated|^Suppressed |^Use -header-filter' "$log.tidy" || true
    rm -f "$log.tidy"
    return $status
}

if [ $# -gt 0 ]; then
    check "clang-tidy" tidy "$@"
    exit $failed
fi
check "clang-format" format
check "include direction" scripts/check-layers.sh
check "files of at most $longest lines" lengths
check "no leftovers" leftovers
check "cppcheck" analyze
check "clang-tidy" tidy
exit $failed
