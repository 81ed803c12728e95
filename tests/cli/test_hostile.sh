#!/bin/sh
# What a hostile or careless hand can do beyond bad files: names of any bytes, closed streams, pipes,
# contradictions, files that change or vanish, a folder that is not ours to clean.
. "$(dirname "$0")/common.sh"
make_corpus
"$adze" train -d corpus $tiny --steps 2 -o model -q || fail "training"

# contradictions are refused before any work
train="$adze train -d corpus --steps 2 -o new"
expect 2 "--layers is decided by --base" $train --base model --layers 2
expect 2 "--vocabulary is decided by --tokenizer" $train --tokenizer model/tokenizer.json --vocabulary 300
expect 2 "--held or --held-out, not both" $train --held corpus --held-out 0.1
expect 1 "mixture of options cannot be written as a GPT2LMHeadModel model" $train --family gpt2 --heads 2 --kv-heads 1
rm -rf new
expect 2 "weight in 'corpus=nan'" "$adze" train -d corpus=nan --steps 2 -o new
expect 2 "must not be empty" "$adze" train -d corpus --steps 2 -o ''
expect 2 "must lie between 1 and 131072" $train --width 999999
expect 1 "^adze: nowhere: No such file" "$adze" train -d corpus -d nowhere --steps 2 -o new
[ ! -e new ] || fail "a refused run leaves its folder in the way"
expect 2 "--count or --share, not both" "$adze" select -d corpus --target corpus/1.txt -n 3 --share 0.5 -o s
adapt="$adze adapt --domain corpus --pool corpus -o out"
expect 2 "--steps or --minutes, not both" $adapt --steps 3 --minutes 1
expect 2 "no method 'dsri'" $adapt --method dsri
expect 2 "without slashes" $adapt --also ../../x=corpus
expect 2 "the name is taken" $adapt --also domain=corpus
expect 2 "NAME=PATH" $adapt --also x
[ ! -e out ] || fail "a refused job leaves its folder"
expect 2 "stand behind it" "$adze" -q info model

# names and texts of any bytes
odd=$(printf 'b\377d\nna\033me')
cp -r model "$odd"
"$adze" info "$odd" >/dev/null || fail "a model of an odd name"
expect 1 "No such file" "$adze" info "$odd-not"
for end in '\376' '\377'; do
    "$adze" convert -m "$odd" -o "$(printf "a$end.gguf")" -q || fail "an output of an odd name"
    [ -e "$(printf "a$end.gguf")" ] || fail "two outputs are taken for one"
done
expect 1 "No such file" "$adze" train -d "$odd-not" --steps 1 -o new
"$adze" runs >/dev/null && "$adze" runs export --format jsonl >/dev/null || fail "the ledger cannot be read"
for i in 1 2 3 4 5 6 7 8 9; do printf 'K\366ln %s ist sch\303\266n und gro\337. ' "$i"; done >latin1.txt
"$adze" split -d latin1.txt --chunk 5 -o parts -q 2>/dev/null || fail "text that is not UTF-8"
grep -q 'K�ln' parts/train.jsonl && grep -q 'schön' parts/train.jsonl || fail "letters are lost"
printf '\357\273\277{"text": "one two three"}\n' >mark.jsonl
"$adze" tokenizer train -d mark.jsonl -n 257 -o t.json --strict -q || fail "a byte order mark"
cat corpus/*.txt >book.txt
"$adze" split -d book.txt --chunk 50 -o parts --force 2>err.txt || fail "one file as a domain"
[ -s parts/train.jsonl ] && [ -s parts/held-out.jsonl ] || fail "one file is not split"
expect 1 "a single piece of text cannot be split" "$adze" split -d book.txt -o parts --force
"$adze" generate -m model -p "$(printf '\377')" -n 9 --json >out.json && grep -q '"text": "' out.json ||
    fail "a text that is not UTF-8 is lost"

# streams and pipes
"$adze" train -d corpus $tiny --steps 3 -o new --force <&- >&- 2>&- || fail "closed streams"
"$adze" info new >/dev/null || fail "messages went into a model"
"$adze" info model >&- 2>err.txt && fail "a closed standard output goes unnoticed"
mkfifo pipe
expect 1 "pipe: not a regular file" "$adze" info pipe

# a resumed run touches nothing before it is sure, and cleans up only behind itself
cp -r corpus mine && : >mine/notes.202401 
for name in checkpoint.safetensors $(ls model | grep json) data/train-0.tokens data/held-out-0.tokens; do
    mkdir -p mine/data && : >mine/$name.123456
done
run="$adze train -d corpus $tiny --checkpoint-every 0 -q -o mine"
$run --steps 3 --resume || fail "resume without a checkpoint"
[ -e mine/notes.202401 ] || fail "a file of the user is gone"
ls mine mine/data | grep 123456 && fail "what a killed run has left stays"
cp mine/tokenizer.json before.json
expect 2 "started with another 'vocabulary'" $run --steps 3 --resume --vocabulary 290
expect 2 "started with another 'steps'" $run --steps 4 --resume
cmp before.json mine/tokenizer.json || fail "a refused resume has changed the tokenizer"

# two runs do not write to one folder
"$adze" train -d corpus $tiny --steps 1000000 -q -o shared 2>first.txt &
process=$!
for i in $(seq 1000); do
    [ ! -e shared/data/train-0.tokens ] || break
    sleep 0.01
done
expect 1 "shared: another run is writing to this folder" "$adze" train -d corpus $tiny --steps 2 -o shared --force
kill $process
wait $process
grep -q 'stopped' first.txt || fail "the first of two runs: $(cat first.txt)"

# recipes pass any text as a value
printf 'steps:\n  - generate: {model: model, prompt: "true", tokens: 2, quiet: true}\n' >recipe.yaml
"$adze" run recipe.yaml >out.txt 2>err.txt || fail "$(cat err.txt)"
printf 'steps:\n  - generate: {model: model, prompt: x, tokens: 0}\n' >recipe.yaml
expect 2 "^adze: recipe.yaml:2: --tokens '0': must" "$adze" run recipe.yaml
exit 0
