#!/bin/sh
# From text to a shrunk model that predicts better than chance, through every command.
. "$(dirname "$0")/common.sh"
make_corpus
for family in llama gpt2; do
    "$adze" train -d corpus $tiny --family $family --steps 150 --rate 0.01 -o $family --json \
        >train.json 2>log.txt || fail "train: $(cat log.txt)"
    before=$(number bits_per_byte train.json)
    awk -v b="$before" 'BEGIN { exit !(b > 0 && b < 1.6) }' || fail "learned too little: $before"
    for format in q8_0 q4_0 q4_K_M; do
        "$adze" shrink -m $family --format $format -o $family-$format.gguf -q || fail "shrink"
        "$adze" perplexity -m $family-$format.gguf -d corpus --json >after.json || fail perplexity
        after=$(number bits_per_byte after.json)
        awk -v b="$before" -v a="$after" 'BEGIN { exit !(a < b * 1.25) }' ||
            fail "$format is much worse: $before -> $after"
    done
    "$adze" convert -m $family -o $family.gguf -q || fail convert
    "$adze" convert -m $family.gguf -o $family-again -q || fail "convert back"
    cmp $family/model.safetensors $family-again/model.safetensors ||
        fail "$family: GGUF and back is not the same model"
    a=$("$adze" generate -m $family -p 'the cat' -n 20 --temperature 0 -q)
    b=$("$adze" generate -m $family.gguf -p 'the cat' -n 20 --temperature 0 -q)
    [ "$a" = "$b" ] || fail "$family: GGUF writes another text: '$a', '$b'"
    c=$("$adze" generate -m $family.gguf -p 'the cat' -n 20 --seed 5 -q)
    d=$("$adze" generate -m $family.gguf -p 'the cat' -n 20 --seed 5 -q)
    [ "$c" = "$d" ] || fail "the same seed gives another text"
    "$adze" info $family.gguf >info.txt || fail info
    "$adze" info -m $family.gguf >named.txt || fail 'info -m'
    cmp info.txt named.txt && grep -q "^$family.gguf: " named.txt || fail "$(cat named.txt)"
done
expect 2 'one model at a time' "$adze" info llama.gguf -m gpt2.gguf
expect 2 'name the model' "$adze" info
"$adze" runs >runs.txt || fail runs
grep -q 'train' runs.txt || fail "the ledger lists no training"
"$adze" runs show 1 >/dev/null && "$adze" runs compare 1 2 >/dev/null || fail "runs show, compare"
"$adze" runs export --format csv | grep -q '^1,train,done,.*"held-out bits per byte"' ||
    fail "runs export"
"$adze" runs export --format jsonl | head -n 1 | grep -q '"command":"train"' || fail "runs export"
