#!/bin/sh
# The installed library: the example of the documentation builds against it and runs; manual pages
# and completions are there and sound.
. "$(dirname "$0")/common.sh"
make_corpus
cmake --install "$(dirname "$adze")" --prefix "$work/root" >log.txt 2>&1 || fail "$(cat log.txt)"
library=$(find root -name 'adze.pc' -printf '%h\n' | head -n 1)
[ -n "$library" ] || fail "no pkg-config file"
export PKG_CONFIG_PATH="$work/$library" LD_LIBRARY_PATH="$work/$(dirname "$library")"
flags=$(pkg-config --cflags --libs adze) || fail "pkg-config"
cc -std=c17 -Wall -Wextra -Werror "$here/../../docs/example.c" -o example $flags || fail "compile"
"$adze" train -d corpus $tiny --steps 30 -o model -q || fail "train"
[ -n "$(./example model 'the cat')" ] || fail "the example says nothing"
./example nothing x 2>err.txt && fail "a missing model goes unnoticed"
grep -q 'nothing: No such file' err.txt || fail "$(cat err.txt)"
for page in root/share/man/man1/*.1; do
    man -l --warnings "$page" 2>&1 >/dev/null | grep . && fail "$page"
done
[ "$(ls root/share/man/man1 | wc -l)" -ge 20 ] || fail "manual pages are missing"
bash -n root/share/bash-completion/completions/adze || fail "bash completion"
grep -q -- '--evaluate-every' root/share/bash-completion/completions/adze || fail "completion"
complete() { # the words that bash offers behind these
    bash -c '. root/share/bash-completion/completions/adze
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _adze; echo "${COMPREPLY[@]}"' bash "$@"
}
complete adze tokenizer t | grep -qw train || fail "completion of a second word"
complete adze tokenizer encode --ou | grep -qw -- --output || fail "completion of two words"
complete adze runs --js | grep -qw -- --json || fail "completion of one word"
complete adze runs export --fo | grep -qw -- --format || fail "completion of a longer command"
for command in $("$adze" --help | awk '/^  [a-z]/ { print $1 }' | sort -u); do
    lines=$("$adze" $command --help 2>/dev/null | wc -l)
    [ "$lines" -gt 5 ] || [ $command = tokenizer ] || [ $command = adze ] || fail "$command --help: $lines lines"
done
exit 0
