#!/bin/sh
# A model that is there, in 4 bits, tuned by adapters on plain text, prompts and conversations:
# it learns what it is to say, resumes bit for bit, is merged, exported and compared; and exports
# that are broken in the usual ways are caught.
. "$(dirname "$0")/common.sh"
make_corpus
shape="--layers 2 --width 64 --heads 2 --context 64 --batch 8 --vocabulary 320"
"$adze" train -d corpus $shape --steps 60 -o base -q --threads 2 || fail train
cat >base/chat_template.jinja <<'EOF'
{% for message in messages %}{{ '[' + message['role'] + ']' + message['content'] + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}
EOF
"$adze" convert -m base -o base.gguf --format q4_0 -q || fail convert
"$adze" convert -m base -o same.gguf --json -q >convert.json || fail "convert without loss"
[ "$(number equal_answers convert.json)" = 8 ] || fail "answers changed: $(cat convert.json)"
"$adze" diff base same.gguf >diff.txt || fail diff
grep -q '^tensors\|chat template' diff.txt && fail "converting changed: $(cat diff.txt)"

awk 'BEGIN { for (i = 0; i < 120; i++) {
    printf "{\"prompt\": \"code of item %d:\", \"completion\": \" the cat sees it\"}\n", i
    printf "{\"messages\": [{\"role\": \"user\", \"content\": \"say %d\"}, {\"role\": \"assistant\", \"content\": \"the dog likes it\"}]}\n", i } }' >examples.jsonl
echo '{"nothing": 1}' >>examples.jsonl
tune="$adze tune -m base.gguf -d examples.jsonl --steps 40 --batch 4 -c 64 --rate 0.01 --threads 2"
$tune -o adapter --json >tune.json 2>tune.txt || fail "tune: $(cat tune.txt)"
grep -q 'skipped 1 records that are no examples' tune.txt || fail "no word of the bad record"
awk -v l="$(number loss tune.json)" 'BEGIN { exit !(l < 1.5) }' || fail "$(cat tune.json)"
for file in adapter_model.safetensors adapter_config.json adapter.gguf; do
    [ -s adapter/$file ] || fail "no $file"
done
# Memory: foretold within a tenth, with and without checkpoints of layers, which change no bit.
for more in "" --checkpoint-layers; do
    $tune $more --batch 16 --context 64 -o memory --force --json -q >memory.json || fail memory
    awk -v e="$(number estimated_memory memory.json)" -v p="$(number peak_memory memory.json)" \
        'BEGIN { r = e / p; exit !(r > 0.9 && r < 1.1) }' || fail "$more: $(cat memory.json)"
    cp memory/adapter_model.safetensors "kept$more"
done
cmp kept kept--checkpoint-layers || fail "checkpoints of layers changed the result"

# Stopped, and gone on with, it is the same bits.
$tune --steps 400 -o whole -q 2>/dev/null || fail "the whole run"
timeout -s INT 0.7 $tune --steps 400 --checkpoint-every 0.05 -o parts -q 2>stop.txt
$tune --steps 400 --checkpoint-every 0.05 -o parts --resume -q 2>resume.txt ||
    fail "resume: $(cat stop.txt resume.txt)"
cmp whole/adapter_model.safetensors parts/adapter_model.safetensors || fail "resuming changed it"

# Both layouts say the same; merged in f32 they act as when attached; in the base's format nearly.
bits() {
    "$adze" perplexity --precision f32 -d corpus/1.txt -c 64 --json -q "$@" >bits.json || fail "perplexity $*"
    number bits_per_byte bits.json
}
near() {
    awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; exit !(d < t && d > -t) }' || fail "$4: $1, $2"
}
attached=$(bits -m base.gguf --adapter whole)
near "$attached" "$(bits -m base.gguf --adapter whole/adapter.gguf)" 1e-6 "the layouts differ"
near "$(bits -m base.gguf)" "$(bits -m base.gguf --adapter whole=0)" 1e-6 "strength 0 changes it"
"$adze" merge -m base.gguf -a whole -o merged.gguf --format f32 -q || fail merge
near "$attached" "$(bits -m merged.gguf)" 1e-4 "merged is not attached"
"$adze" export -m base.gguf --adapter whole -o exported.gguf --json -q >export.json 2>export.txt ||
    fail "export: $(cat export.txt)"
near "$attached" "$(bits -m exported.gguf)" 0.2 "exported is another model"
[ "$(number mean_divergence export.json)" ] || fail "it does not say what was lost"
"$adze" info exported.gguf --json >info.json || fail info
grep -q '"q4_0"' info.json && grep -q '"intact": true' info.json || fail "$(cat info.json)"
"$adze" perplexity -m exported.gguf --reference base.gguf -d corpus/1.txt -c 64 --json -q >kl.json ||
    fail reference
awk -v d="$(number mean_divergence kl.json)" 'BEGIN { exit !(d > 0) }' || fail "$(cat kl.json)"
"$adze" perplexity -m base.gguf --reference base.gguf -d corpus/1.txt -c 64 --json -q >kl.json
awk -v d="$(number mean_divergence kl.json)" 'BEGIN { exit !(d < 1e-6) }' || fail "$(cat kl.json)"

# What an adapter changes is no loss: of f32 nothing is lost, of 4 bits only what they round off.
"$adze" export -m base --adapter whole -o exact.gguf --json >exact.json 2>exact.txt ||
    fail "export in f32: $(cat exact.txt)"
tr -d ' \n' <exact.json | grep -q '"lossy_tensors":\[\]' || fail "f32 lost: $(cat exact.json)"
grep -q '^no tensor lost precision' exact.txt || fail "it says: $(cat exact.txt)"
"$adze" export -m base --adapter whole -o half.gguf --format f16 --json -q >half.json || fail f16
worst=$(sed -n 's/.*"relative": *\([-0-9.e+]*\).*/\1/p' half.json | sort -g | tail -n 1)
awk -v w="$worst" 'BEGIN { exit !(w > 0 && w < 1e-3) }' || fail "f16 lost $worst"
"$adze" diff merged.gguf exported.gguf --json >rounded.json || fail diff
for file in export.json rounded.json; do # what the exporter names is what was written
    sed -n 's/.*"relative": *\([-0-9.e+]*\).*/\1/p' $file | sort -g >$file.errors
done
[ -s export.json.errors ] && cmp export.json.errors rounded.json.errors || fail "other losses"

# Broken exports: a lost template, another end, a token put in front.
cp -r base lost && rm lost/chat_template.jinja && rm -f lost/tokenizer_config.json
"$adze" diff base lost >lost.txt
grep -q 'chat template' lost.txt || fail "a lost template goes unnoticed: $(cat lost.txt)"
cp -r base ended && sed -i 's/"eos_token_id": *[0-9]*/"eos_token_id": 5/' ended/config.json
"$adze" diff base ended >ended.txt
grep -q 'eos' ended.txt || fail "another end goes unnoticed: $(cat ended.txt)"

# A tuned folder, whole; and what is refused.
"$adze" tune -m base -d corpus --method full --steps 5 -b 4 -c 64 -o full -q || fail full
[ -s full/model.safetensors ] && [ -s full/chat_template.jinja ] || fail "no whole model"
expect 2 "method lora" "$adze" tune -m base -d corpus --method full --rank 4 --steps 1 -o no
expect 2 "no kind of layer" "$adze" tune -m base -d corpus --targets nose --steps 1 -o no
expect 2 "name the model" "$adze" tune -d corpus --steps 1 -o no
expect 2 "one of --steps" "$adze" tune -m base -d corpus -o no
expect 1 "record 241" "$adze" tune -m base -d examples.jsonl --strict --steps 1 -o no
[ ! -e no ] || fail "a run that failed before it trained is in the way"
head -c 4000 base/model.safetensors >binary.txt
yes '{"messages": [{"role": "user", "content": "no answer"}]}' | head -n 50 >none.jsonl
for threads in 1 2 3; do # the first, not the one that a thread came to last
    expect 1 "^adze: record 1: " "$adze" tune -m base -d none.jsonl --strict --steps 1 -t $threads -o no
done
# but a folder that was there stays, and one with a checkpoint
cp -r parts before
expect 1 "record 241" "$adze" tune -m base -d examples.jsonl --strict --steps 1 -o parts --force
[ -s parts/adapter_model.safetensors ] || fail "the folder that was there is gone"
rm -r parts && mv before parts
mkdir mine
expect 1 "record 241" "$adze" tune -m base -d examples.jsonl --strict --steps 1 -o mine --force
[ -d mine ] || fail "a folder that was there is gone"
expect 1 "binary.txt: binary" "$adze" train -d binary.txt --strict --steps 3 -o no

# what an unfinished run has left can be gone on from, and the refusal says so
"$adze" tune -m base -d corpus --steps 1000000 --context 32 --batch 2 --checkpoint-every 0.2 -o killed -q &
process=$!
for i in $(seq 600); do
    [ ! -s killed/checkpoint.safetensors ] || break
    sleep 0.05
done
kill -9 $process
wait $process 2>/dev/null
expect 2 'killed: already exists with a checkpoint at step [0-9]+; --resume goes on from it, --force overwrites it' \
    "$adze" tune -m base -d corpus --steps 1000000 --context 32 --batch 2 -o killed
expect 2 'whole: already exists; --force overwrites it' "$adze" tune -m base -d corpus --steps 1 -o whole
