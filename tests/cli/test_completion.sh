#!/bin/sh
# What shells offer behind a Tab. Bash's function is called as bash calls it; zsh's file, which shares
# it, is run as zsh runs it at the first Tab, with what zsh provides in bash's stead.
. "$(dirname "$0")/common.sh"
command -v bash >/dev/null || exit 77
mkdir here && cd here && mkdir train folder && : >'a file.txt' && : >model.gguf
"$adze" completion bash >../adze.bash || fail bash
"$adze" completion zsh >../_adze || fail zsh
"$adze" completion fish >../adze.fish || fail fish
bash -n ../adze.bash || fail "bash cannot read it"

# after WORD...: what is offered for the last of these words, a line each, as in "adze WORD..."
after() {
    bash -c '. ../adze.bash
        COMP_WORDS=(adze "$@"); COMP_CWORD=$#; _adze
        [ ${#COMPREPLY[@]} = 0 ] || printf "%s\n" "${COMPREPLY[@]}"' bash "$@" 2>&1
}
# offers LIST WORD...: just these are offered, in any order
offers() {
    list=$1
    shift
    got=$(after "$@" | sort | tr '\n' '/')
    wanted=$(printf '%s' "$list" | tr '/' '\n' | sort | tr '\n' '/')
    [ "$got" = "$wanted" ] || fail "adze $*: offers $got, not $wanted"
}
offers 'train' tra
offers 'tokenizer/train/tune' t
offers '--help/--version' -
after '' | grep -q 'a file\|model.gguf\|folder' && fail "files are offered for a command"
[ "$(after '' | sort | uniq -d)" = '' ] || fail "a command is offered twice"
for command in $("$adze" --help | awk '/^  [a-z]/ { print $1 }' | sort -u); do
    [ "$command" = adze ] || after '' | grep -qx "$command" || fail "$command is not offered"
done
offers 'train/tokenizer/tune' help t
offers 'compare/export/show' help runs ''
offers 'decode/encode/train' tokenizer ''
offers '--format/--force' runs export --fo
offers 'csv/jsonl' runs export --format ''
offers '--json' runs --js
offers 'q8_0' export --format q8
offers 'q8_0' export -f q8
offers 'q8_0' export --format = q8
offers 'dsir/random' select --method ''
offers 'lora/full' tune --method ''
offers 'bash/zsh/fish' completion ''
offers '' train --seed ''
offers 'a file.txt' train -o a
offers 'a file.txt' export --adapter a
offers 'model.gguf' info m
offers '' runs show ''
after train '' | grep -qx -e --steps || fail "no option is offered where nothing else can stand"
for option in schedule precision optimizer; do
    "$adze" train --help | grep -q -e "--$option .*|" || continue
    [ "$(after train --$option '' | grep -c .)" -ge 2 ] || fail "train --$option offers nothing"
done

# zsh's first Tab runs the file as the body of _adze.
bash -c 'autoload() { :; }; bashcompinit() { :; }; compdef() { echo made known; }
    _bash_complete() { "$2"; printf "%s\n" "${COMPREPLY[@]}"; }
    COMP_WORDS=(adze sel); COMP_CWORD=1; funcstack=(0 _adze); . ../_adze' >zsh.txt || fail "_adze"
[ "$(cat zsh.txt)" = select ] || fail "zsh's first Tab offers $(cat zsh.txt)"
bash -c 'autoload() { :; }; bashcompinit() { :; }; compdef() { echo "$@"; }; . ../_adze' >zsh.txt
[ "$(cat zsh.txt)" = '_adze adze' ] || fail "sourced, it is not made known: $(cat zsh.txt)"
head -n 1 ../_adze | grep -qx '#compdef adze' || fail "not known to be a completion"

grep -q "__adze_at export' -l format -s f .* -x -a 'f32 f16 " ../adze.fish || fail "fish has no choices"
grep -q "__adze_at runs export' -l output -s o .* -r -F" ../adze.fish || fail "fish offers no files"
if command -v fish >/dev/null; then
    fish -n ../adze.fish || fail "fish cannot read it"
    fish -c 'source ../adze.fish; complete -C "adze export --format q8"' | grep -q '^q8_0' || fail fish
fi
exit 0
