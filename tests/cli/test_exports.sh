#!/bin/sh
# The three ways in which exports usually break: a chat template that is lost, a beginning that
# comes twice, an end that is not known. A model whose tokenizer and whose template both put <s>,
# and whose files name its ends in three places, goes through every command that writes models.
. "$(dirname "$0")/common.sh"
make_corpus
gunzip -c "$here/../golden/tokenizers/stories.gz" >tokenizer.model
"$adze" train -d corpus --tokenizer tokenizer.model --layers 1 --width 32 --heads 2 --context 96 \
    --batch 4 --steps 20 --threads 2 -o model -q 2>train.txt || fail "train: $(cat train.txt)"
# </s> is the tokenizer's end (2); config.json names 401, generation_config.json 401 and 402; and
# the template puts </s> behind answers.
cat >model/chat_template.jinja <<'EOF'
{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}
EOF
sed -i 's/"eos_token_id": *2/"eos_token_id": 401/' model/config.json
sed -i 's/"eos_token_id": *2/"eos_token_id": [401, 402]/' model/generation_config.json
grep -q 401 model/config.json && grep -q 402 model/generation_config.json || fail 'sed changed nothing'
rendered='<s>[user] the cat</s>[assistant]'
options="--temperature 0 --threads 1 -q"

# What the prompt is, without adze's chat: one <s> before the ids of the text.
ids=$("$adze" tokenizer encode -m tokenizer.model -p "${rendered#<s>}")
count=$(echo 1 $ids | wc -w)
case " $ids " in *' 1 '*) fail "the text's ids have a beginning: $ids" ;; esac

# ends MODEL TOKEN...: these end an answer, others do not.
ends() {
    model=$1
    shift
    for token in "$@"; do
        "$adze" generate -m "$model" $options -n 3 -p the --logit-bias "$token=100" --json >end.json ||
            fail "$model: generate"
        grep -q '"finish_reason": *"stop"' end.json || fail "$model: $token does not end an answer"
    done
    "$adze" generate -m "$model" $options -n 3 -p the --logit-bias 403=100 --json >end.json
    grep -q '"finish_reason": *"length"' end.json || fail "$model: 403 ends an answer"
}

# sound MODEL: template, beginning and ends are those of the first.
sound() {
    "$adze" diff model "$1" >diff.txt || fail "diff $1"
    grep -E 'template|bos|eos|before a text|behind a text|ids of|end' diff.txt &&
        fail "$1 talks otherwise than the model"
    "$adze" generate --chat -m "$1" $options -n 1 -p 'the cat' --json >chat.json || fail "chat with $1"
    [ "$(number prompt_tokens chat.json)" = "$count" ] ||
        fail "$1: a prompt of $(number prompt_tokens chat.json) tokens, not $count"
    # The rendered text as any other prompt, and a plain one: one beginning each.
    for prompt in "$rendered" "${rendered#<s>}"; do
        got=$("$adze" tokenizer encode -m "$1" --model-tokens -p "$prompt")
        [ "$got" = "1 $ids" ] || fail "$1: '$prompt' became $got, not 1 $ids"
    done
    ends "$1" 2 401 402
}

sound model
"$adze" convert -m model -o model.gguf -q || fail convert
sound model.gguf
"$adze" convert -m model.gguf -o back -q || fail 'convert back'
sound back
[ -s back/chat_template.jinja ] || fail 'no chat_template.jinja'
grep -q '"chat_template"' back/tokenizer_config.json || fail 'no template in tokenizer_config.json'
tr -d ' \n' <back/generation_config.json | grep -q '"eos_token_id":\[401,2,402\]' ||
    fail "ends: $(cat back/generation_config.json)"
"$adze" export -m model -o exported -q 2>err.txt || fail "export: $(cat err.txt)"
sound exported
"$adze" export -m model.gguf -o exported.gguf --format f16 -q 2>err.txt || fail "export: $(cat err.txt)"
sound exported.gguf
"$adze" shrink -m model -f q8_0 -o small.gguf -q || fail shrink
sound small.gguf
printf '{"messages": [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sees"}]}\n' \
    >talk.jsonl
"$adze" tune -m model -d talk.jsonl --steps 2 --batch 1 -c 64 --threads 2 -o adapter -q 2>err.txt ||
    fail "tune: $(cat err.txt)"
"$adze" merge -m model -a adapter -o merged -q || fail merge
sound merged
"$adze" merge -m model.gguf -a adapter -o merged.gguf -q || fail 'merge into GGUF'
sound merged.gguf
"$adze" tune -m model -d talk.jsonl --method full --steps 2 --batch 1 -c 64 --threads 2 -o whole -q \
    2>err.txt || fail "tune --method full: $(cat err.txt)"
sound whole

# A file that lost something is told from the model: each breakage by itself.
broken() {
    cp -r model broken
    eval "$2"
    "$adze" diff model broken >diff.txt
    grep -q "$1" diff.txt || fail "$2 goes unnoticed: $(cat diff.txt)"
    rm -r broken
}
broken 'chat template' 'rm broken/chat_template.jinja'
broken 'ends of generation' 'sed -i "s/, 402//;s/402,//;s/^ *402$/401/" broken/generation_config.json'
broken 'eos_token' 'sed -i "s/401/403/" broken/config.json'
broken 'before a text' 'sed -i "s/\"post_processor\": *{/\"post_processor\": null, \"lost\": {/" broken/tokenizer.json'
