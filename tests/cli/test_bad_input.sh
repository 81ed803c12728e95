#!/bin/sh
# Bad input of every kind: one line that names file and cause, exit code 1 or 2, nothing broken.
. "$(dirname "$0")/common.sh"
make_corpus
printf 'abc\0def' >binary.txt
: >empty.txt
mkdir empty

# options
expect 2 "there is no command 'trian'; did you mean 'train'" "$adze" trian
expect 2 "unknown option --stepz .*--steps" "$adze" train --stepz 3
expect 2 "steps" "$adze" train -d corpus --steps x -o m
expect 2 "one of --steps, --tokens and --minutes, not several" \
    "$adze" train -d corpus --steps 3 --minutes 1 -o m
expect 2 "one of --steps" "$adze" train -d corpus -o m
expect 2 "no multiple of 3 heads" "$adze" train -d corpus --steps 3 --heads 3 -o m
expect 2 "name the training text" "$adze" train --steps 3 -o m
expect 2 "name the output" "$adze" train -d corpus --steps 3
expect 2 "no method 'dsri'" "$adze" select -d corpus --method dsri -o s
expect 2 "ADZE_CPU" env ADZE_CPU=fast "$adze" methods
expect 2 "an argument is missing" "$adze" diff one

# corpora
expect 1 "nowhere.*No such file" "$adze" train -d nowhere --steps 3 -o m --force
expect 1 "empty: the folder holds no files" "$adze" train -d empty --steps 3 -o m --force
expect 1 "empty.txt: no text" "$adze" train -d empty.txt --steps 3 -o m --force
expect 1 "binary.txt: no text" "$adze" train -d binary.txt --steps 3 -o m --force
expect 1 "binary.txt: binary" "$adze" train -d binary.txt --strict --steps 3 -o m --force
printf '{"text": "one"}\n{"text": 3}\nnot json\n{"other": "x"}\n' >bad.jsonl
"$adze" tokenizer train -d bad.jsonl -n 257 -o t.json 2>err.txt || fail "bad records are fatal"
grep -q '3 bad records (1 bad JSON, 2 without the text field); first: bad.jsonl:2' err.txt ||
    fail "bad records are counted wrongly: $(cat err.txt)"
expect 1 "bad.jsonl:2: without the text field" "$adze" tokenizer train -d bad.jsonl --strict -n 257 \
    -o t2.json
head -c 300 corpus/1.txt | gzip | head -c 60 >cut.txt.gz
expect 1 "cut.txt.gz: truncated gzip" "$adze" tokenizer train -d cut.txt.gz --strict -n 257 -o t3.json

# selection
expect 2 "needs a sample of the domain" "$adze" select -d corpus -o s.jsonl
expect 1 "no words in the domain sample" "$adze" select -d corpus --target empty.txt -o s.jsonl
expect 1 "1000 documents are wanted, but only [0-9]+ of the pool's 40" \
    "$adze" select -d corpus --target corpus/1.txt -n 1000 -o s.jsonl
printf 'word' >small.txt
expect 1 "small.txt: 1 n-grams are too small a domain sample" \
    "$adze" select -d corpus --target small.txt -n 5 -o s.jsonl
seq 200 | tr '\n' ' ' >small.txt
"$adze" select -d corpus --target small.txt -n 5 -o s.jsonl 2>err.txt || fail "small target"
grep -q 'warning: the selection is hardly nearer' err.txt || fail "no warning: $(cat err.txt)"

# tokenizers
for text in '' '{' '[]' '{"model": {"type": "Unigram"}}' '{"model": {"vocab": {"a": -1}, "merges": []}}'; do
    printf '%s' "$text" >tokenizer.json
    expect 1 "tokenizer.json" "$adze" tokenizer encode -m tokenizer.json -p x
done

# models
"$adze" train -d corpus $tiny --steps 2 -o model -q || fail "training"
"$adze" convert -m model -o model.gguf -q || fail "convert"
expect 2 "already exists; --force" "$adze" convert -m model -o model.gguf --format f16
for size in 0 3 4 20 100 1000 10000; do
    head -c $size model.gguf >cut.gguf
    expect 1 "cut.gguf" "$adze" generate -m cut.gguf -p x
    rm -rf cut && cp -r model cut && head -c $size model/model.safetensors >cut/model.safetensors
    expect 1 "cut/model.safetensors" "$adze" generate -m cut -p x
done
rm -rf cut && cp -r model cut && echo '{"model_type": "llama", "hidden_size": -4}' >cut/config.json
expect 1 "cut/config.json" "$adze" info cut
while read -r key value cause; do
    sed "s/\"$key\": *[^,]*/\"$key\": $value/" model/config.json >cut/config.json
    cmp -s model/config.json cut/config.json && fail "config.json has no $key"
    expect 1 "^adze: cut/config.json: $cause" "$adze" info cut
done <<'END'
rope_theta "500000" rope base -?nan
rms_norm_eps "1e-6" norm epsilon -?nan
num_key_value_heads 1.5 number of key/value heads is -1
head_dim [16] head width is -1
END
rm cut/config.json
expect 1 "cut/config.json: No such file" "$adze" info cut
expect 1 "not a GGUF file" "$adze" info corpus/1.txt
expect 1 "longer than the context" "$adze" generate -m model -p "$(cat corpus/1.txt)"

# checkpoints
head -c 500 model/checkpoint.safetensors >cut.checkpoint
cp cut.checkpoint model/checkpoint.safetensors
rm model/model.safetensors # else the run is done, and is not run again
expect 1 "model/checkpoint.safetensors" "$adze" train -d corpus $tiny --steps 2 -o model --resume

# recipes
for text in '' 'steps: 3' 'steps: []' 'steps: [train]' 'nothing: 1' 'steps: [{trian: {}}]' '{' \
    'steps: [{info: {x: [[1]]}}]'; do
    printf '%s' "$text" >recipe.yaml
    "$adze" run recipe.yaml >out.txt 2>err.txt && fail "recipe '$text' is accepted"
    grep -q 'recipe.yaml:[12]: ' err.txt || fail "recipe '$text': $(cat err.txt)"
done
printf 'steps:\n  - train:\n      data: corpus\n      stepz: 4\n' >recipe.yaml
expect 2 "recipe.yaml:4: .*stepz.*steps" "$adze" run recipe.yaml

# outputs
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod 500 locked
    expect 1 "locked/t.json.*Permission denied" "$adze" tokenizer train -d corpus -n 257 -o locked/t.json
fi
expect 1 "/dev/full/x|Not a directory" "$adze" tokenizer train -d corpus -n 257 -o /dev/full/x
mkfifo device # as a device: nothing is put in its place
expect 1 "^adze: device: not a regular file" \
    "$adze" tokenizer train -d corpus -n 257 -o device --force
expect 1 "^adze: device: not a regular file" "$adze" runs --ledger device
[ -p device ] || fail "a pipe was replaced by a file"
printf 'no ledger' >other.sqlite
expect 1 "other.sqlite: " "$adze" runs --ledger other.sqlite
"$adze" methods >/dev/full 2>err.txt && fail "a full standard output goes unnoticed"
exit 0
