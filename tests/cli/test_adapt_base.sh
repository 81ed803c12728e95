#!/bin/sh
# `adze adapt --base` without a pool: a model that is there is tuned on the domain, whole or by
# adapters, exported, and measured before and after on held-out text and on other text.
. "$(dirname "$0")/common.sh"
make_domains
mkdir corpus
cp pool/numbers/*.txt corpus
"$adze" train -d corpus --layers 1 --width 32 --heads 2 --context 64 --vocabulary 400 --batch 8 \
    --steps 150 --threads 2 -o base -q || fail "no base"
cat >base/chat_template.jinja <<'EOF'
{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}
EOF
"$adze" convert -m base -o base.gguf --format q8_0 -q || fail "no quantized base"
job="$adze adapt --domain domain --also numbers=other --steps 60 --batch 4 -c 64 --threads 2"

# text NAME WHEN FILE: bits per byte of the text in the job's result.
text() {
    tr -d ' \n' <"$3" | sed 's/.*"texts":\[\([^]]*\)\].*/\1/' | tr '}' '\n' |
        sed -n "s/.*\"name\":\"$1\".*\"$2\":\\([0-9.e+-]*\\).*/\\1/p"
}

# learned FILE: the domain came out better, by more than a tenth.
learned() {
    awk -v b="$(text domain before "$1")" -v a="$(text domain after "$1")" \
        'BEGIN { exit !(b > 0 && a > 0 && a < 0.9 * b) }' || fail "it did not learn: $(cat "$1")"
    [ "$(text numbers before "$1")" ] && [ "$(text numbers after "$1")" ] ||
        fail "other text was not measured: $(cat "$1")"
}

# A folder in f32 is tuned whole.
$job --base base -o whole --json >whole.json 2>log.txt || fail "whole: $(cat log.txt)"
grep -q '"tuning": "full"' whole.json || fail "not tuned whole: $(cat whole.json)"
learned whole.json
[ -s whole/model.gguf ] && [ -s whole/report.html ] || fail "no model or no report"
"$adze" info whole/model.gguf --json | grep -q '"q8_0"' || fail "not in the chosen format"

# A quantized file is tuned by adapters, and comes out in its own format, with its template.
$job --base base.gguf -o lora --json >lora.json 2>log.txt || fail "lora: $(cat log.txt)"
grep -q '"tuning": "lora"' lora.json || fail "not tuned by adapters: $(cat lora.json)"
learned lora.json
for file in model.gguf report.html tuned/adapter.gguf; do
    [ -s lora/$file ] || fail "no $file"
done
"$adze" info lora/model.gguf --json >info.json
grep -q '"q8_0"' info.json && grep -q '"chat_template": true' info.json || fail "$(cat info.json)"
grep -q 'domain' lora/report.html || fail "an empty report"

# What is shipped is what was tuned, also where the base's own steps are larger than what was learned.
"$adze" convert -m base -o coarse.gguf --format q4_0 -q || fail "no coarse base"
$job --base coarse.gguf -o kept --json >kept.json 2>log.txt || fail "coarse: $(cat log.txt)"
"$adze" info kept/model.gguf --json | grep -q '"q8_0"' || fail "a coarse format was kept"
awk -v b="$(text domain before kept.json)" -v t="$(text domain tuned kept.json)" \
    -v a="$(text domain after kept.json)" 'BEGIN { exit !(t > 0 && (b - a) > 0.95 * (b - t)) }' ||
    fail "what was learned got lost: $(cat kept.json)"
$job --base coarse.gguf -o chosen --format q4_0 -q || fail "no format can be chosen"
"$adze" info chosen/model.gguf --json | grep -q '"q4_0"' || fail "not in the chosen format"

# What it says of the result is what perplexity says.
awk -v a="$(text domain after lora.json)" -v l="$("$adze" perplexity -m lora/model.gguf -d domain \
    -c 64 --json -q | sed -n 's/.*"bits_per_byte": *\([0-9.e+-]*\).*/\1/p' | head -n 1)" \
    'BEGIN { d = a - l; exit !(d < 0.3 && d > -0.3) }' || fail "its figures are not perplexity's"

# The same again is nothing to do, and the same bits when made anew.
cp lora/model.gguf first.gguf
$job --base base.gguf -o lora 2>again.txt || fail "again: $(cat again.txt)"
grep -q 'nothing has changed' again.txt || fail "it ran again: $(cat again.txt)"
$job --base base.gguf -o anew -q || fail anew
cmp first.gguf anew/model.gguf || fail "another run gives another model"

expect 1 'no-such' $job --base no-such -o no
"$adze" adapt --domain domain --steps 5 -o no 2>err.txt && fail "without a pool and a base it did something"
cp -r base untold && rm -f untold/tokenizer.json untold/tokenizer_config.json
expect 1 'without a tokenizer' $job --base untold -o no
