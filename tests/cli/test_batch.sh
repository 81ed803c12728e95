#!/bin/sh
# Files of prompts and texts: completions and embeddings as lines of JSON, in order, each the same
# as the one got alone.
. "$(dirname "$0")/common.sh"
make_corpus
"$adze" train -d corpus --steps 60 --layers 2 --width 64 --heads 2 --context 128 --batch 2 \
    --vocabulary 300 --threads 2 -o model -q || fail "no model"
text() {
    sed -n 's/.*"text": *"\(.*\)", *"token_ids".*/\1/p' "$1"
}
one_line() {
    tr '\n' ' ' <"$1" | sed 's/  */ /g'
}

# a thousand prompts, in order
seq 1000 | awk '{ printf "{\"prompt\":\"the cat %d\",\"id\":\"n%d\",\"seed\":3}\n", $1 % 7, $1 }' \
    >prompts.jsonl
"$adze" generate -m model -d prompts.jsonl -n 12 -o out.jsonl -q || fail "the batch fails"
[ "$(wc -l <out.jsonl)" = 1000 ] || fail "not 1000 completions"
sed 's/.*"index":\([0-9]*\).*/\1/' out.jsonl >order.txt
seq 0 999 | cmp -s - order.txt || fail "not in order"
[ "$(grep -c '"id":"n500"' out.jsonl)" = 1 ] || fail "a line's id is lost"
"$adze" generate -m model -d prompts.jsonl -n 12 --slots 3 -q >again.jsonl || fail "3 slots fail"
cmp -s out.jsonl again.jsonl || fail "slots change the result"
"$adze" generate -m model -d prompts.jsonl -n 12 --unordered -q >any.jsonl || fail "unordered fails"
sort any.jsonl >a.txt
sort out.jsonl >b.txt
cmp -s a.txt b.txt || fail "order changes the result"
"$adze" generate -m model -p 'the cat 1' -n 12 -s 3 --json -q >single.json || fail "no completion"
one_line single.json >single.txt
head -n 1 out.jsonl >first.txt
[ "$(text single.txt)" = "$(text first.txt)" ] || fail "alone: $(cat single.txt); $(cat first.txt)"

# options, their overrides, bad lines, standard input
printf '%s\n' '{"prompt":"a","n":2,"max_tokens":3}' '' 'no' '{"prompt":"b","temperature":-1}' \
    '{"prompt":["a","b"]}' '{"prompt":[3,4],"logprobs":2}' '{"messages":[{"role":"user"}]}' |
    gzip | "$adze" generate -m model -d - -n 5 >mixed.jsonl 2>err.txt || fail "mixed: $(cat err.txt)"
[ "$(wc -l <mixed.jsonl)" = 7 ] || fail "mixed: $(cat mixed.jsonl)"
[ "$(grep -c '"choice":' mixed.jsonl)" = 2 ] || fail "no choices: $(cat mixed.jsonl)"
[ "$(grep -c '"error":' mixed.jsonl)" = 4 ] || fail "no errors: $(cat mixed.jsonl)"
grep -q "4 lines failed; first: -: line 2: no JSON object" err.txt || fail "$(cat err.txt)"
grep -q '"logprobs":\[{"id":' mixed.jsonl || fail "no logprobs: $(cat mixed.jsonl)"
printf 'no\n' >bad.jsonl
# of which some may fail, but not all
printf 'no\n{"prompt":7}\n' >none.jsonl
expect 1 'generate: all 2 lines failed; first: none.jsonl: line 1: no JSON object' \
    "$adze" generate -m model -d none.jsonl -n 2
[ "$(grep -c '"error"' out.txt)" = 2 ] || fail "the lines' errors are not told: $(cat out.txt)"
expect 1 'all 2 lines failed' "$adze" generate -m model -d none.jsonl -n 2 -o none.out
[ "$(wc -l <none.out)" = 2 ] || fail "no file with the errors"
expect 1 'bad.jsonl: line 1: no JSON object' "$adze" generate -m model -d bad.jsonl --strict
expect 2 'not both' "$adze" generate -m model -d bad.jsonl -p x
expect 1 'missing.jsonl' "$adze" generate -m model -d missing.jsonl
expect 2 '17=-100' "$adze" generate -m model -p x --logit-bias 5
expect 2 'token ids from 0' "$adze" generate -m model -p x --logit-bias 5000=1
expect 2 'out.jsonl: already exists' "$adze" generate -m model -d prompts.jsonl -o out.jsonl

# stops, biases, several completions
"$adze" generate -m model -p 'the cat' -n 30 --json -q --ignore-end >whole.json
one_line whole.json >whole.txt
cut=$(text whole.txt | cut -c 4-6)
"$adze" generate -m model -p 'the cat' -n 30 --json -q --ignore-end --stop "$cut" >cut.json
one_line cut.json >cut.txt
grep -q '"finish_reason": "stop"' cut.txt || fail "not stopped: $(cat cut.txt)"
case $(text whole.txt) in "$(text cut.txt)$cut"*) ;; *) fail "stopped wrongly" ;; esac
"$adze" generate -m model -p 'the cat' -n 3 --json -q --logit-bias 70=100 --temperature 0 >bias.json
one_line bias.json | grep -q '"token_ids": \[ 70, 70, 70 \]' || fail "no bias: $(cat bias.json)"
"$adze" generate -m model -p 'the cat' -n 3 --n 3 --json -q >three.json
[ "$(grep -c '"finish_reason"' three.json)" -ge 3 ] || fail "not three: $(cat three.json)"
"$adze" generate -m model -p 'the cat' -n 5 --mirostat 2 --typical-p 0.9 --presence-penalty 1 \
    --frequency-penalty 1 -q >/dev/null || fail "sampling options"

# embeddings
"$adze" embed -m model -p 'the cat sees' >one.jsonl || fail "no embedding"
printf 'a dog\n{"text":"the cat sees","id":5}\n{"other":1}\n' >texts.txt
"$adze" embed -m model -d texts.txt -o many.jsonl 2>err.txt || fail "embed: $(cat err.txt)"
grep -q '1 lines failed; first: texts.txt:3: without the text field' err.txt || fail "$(cat err.txt)"
vector() {
    sed -n 's/.*"embedding":\[\([^]]*\)\].*/\1/p' "$1" | sed -n "$2p"
}
[ "$(vector one.jsonl 1)" = "$(vector many.jsonl 2)" ] || fail "another embedding in a file"
[ "$(vector many.jsonl 1)" != "$(vector many.jsonl 2)" ] || fail "one embedding for all"
vector one.jsonl 1 | tr ',' '\n' | awk '{ s += $1 * $1 } END { exit !(NR == 64 && s > 0.999 && s < 1.001) }' ||
    fail "not of length 1"
printf '{"a":1}\n{}\n' >none.txt
expect 1 'embed: all 2 lines failed; first: none.txt:1: without the text field' \
    "$adze" embed -m model -d none.txt
[ "$(grep -c '"error"' out.txt)" = 2 ] || fail "the texts' errors are not told: $(cat out.txt)"
expect 1 'texts.txt:3: without' "$adze" embed -m model -d texts.txt --strict
echo "batches and embeddings are as they are alone"
