#!/bin/sh
# What the program says of itself: help and manual pages name all that an option takes, in lines that
# a terminal shows well.
. "$(dirname "$0")/common.sh"
"$adze" manual man || fail manual
for command in export convert merge shrink; do
    "$adze" $command --help >help.txt || fail "$command --help"
    for file in help.txt "man/adze-$command.1"; do
        tr -d ' \n' <"$file" | grep -q 'q5_K_S|q5_K_M|q6_K' || fail "$command, cut: $(cat "$file")"
    done
done
for command in $("$adze" --help | awk '/^  [a-z]/ { print $1 }' | sort -u); do
    "$adze" "$command" --help 2>/dev/null |
        awk -v c="$command" 'length > 100 { print c ": " $0; bad = 1 } END { exit bad }' ||
        fail "too long a line"
done
for command in generate chat serve perplexity; do # the same choices in the same order
    "$adze" $command --help | tr -s ' \n' ' ' | grep -q 'precision int8|bf16|f32 .*f32: exact' ||
        fail "$command: --precision: $("$adze" $command --help)"
done

# every method of docs/methods.md is on the list
"$adze" methods >methods.txt
for method in $(sed -n 's/^### //p' "$here/../../docs/methods.md"); do
    grep -qE "^[a-z]+ +$method " methods.txt || fail "$method is not on the list: $(cat methods.txt)"
done
