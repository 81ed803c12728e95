#!/bin/sh
# `adze chat` and `adze generate --chat`: one template for both, the history, the commands, what
# Ctrl-C does, and what is said when something is missing.
. "$(dirname "$0")/common.sh"

make_corpus
"$adze" train -d corpus -o model --layers 1 --width 32 --heads 2 --context 512 --batch 1 \
    --vocabulary 300 --threads 2 --steps 3 --quiet || fail 'no model'
expect 1 'no chat template' "$adze" chat -m model </dev/null
cat >model/chat_template.jinja <<'EOF'
{%- for m in messages %}
    {%- if m.role == 'critic' or 'forbidden' in m.content %}{{ raise_exception('not a word') }}{% endif %}
    {{- m.role }}: {{ m.content }}{{ eos_token }}
{% endfor %}
{%- if add_generation_prompt %}assistant{{ tone or '' }}: {% endif %}
EOF
options="-m model --temperature 0 -n 12 --threads 1"

# One message is the same in both, and what the template says by itself.
printf 'the cat sees\n' | "$adze" chat $options --json >chat.json || fail 'chat'
"$adze" generate --chat $options -p 'the cat sees' --json >one.json || fail 'generate --chat'
eos='<|endoftext|>'
"$adze" generate $options -p "user: the cat sees$eos
assistant: " --json >plain.json || fail 'generate'
ids() {
    tr -d ' \n' <"$1" | sed 's/.*"token_ids":\[\([0-9,]*\)\].*/\1/'
}
[ -n "$(ids one.json)" ] || fail 'no tokens'
[ "$(ids chat.json)" = "$(ids one.json)" ] || fail "chat gave $(ids chat.json), generate $(ids one.json)"
[ "$(ids plain.json)" = "$(ids one.json)" ] || fail "plain gave $(ids plain.json), not $(ids one.json)"
[ "$(number prompt_tokens plain.json)" = "$(number prompt_tokens one.json)" ] || fail 'other prompts'
"$adze" generate --chat $options -p 'the cat sees' --chat-value tone=' (kind)' --json >kind.json
[ "$(number prompt_tokens kind.json)" -gt "$(number prompt_tokens one.json)" ] ||
    fail '--chat-value did not come through'

# History is kept, and its beginning not computed again.
long='the dog likes this tree and the stone and the river and that house and the cat and all of it'
printf '%s\nand now\\\nthe house\n/save talk.json\n' "$long" |
    "$adze" chat $options --system 'say little' --json >two.json || fail 'two turns'
[ "$(grep -c '"role"' talk.json)" = 5 ] || fail "saved $(cat talk.json)"
grep -q '"content": "say little"' talk.json || fail 'the system prompt is not in the messages'
grep -q 'and now\\nthe house' talk.json || fail 'lines were not joined'
known=$(sed -n 's/.*"cached_tokens": *\([0-9]*\).*/\1/p' two.json | tail -n 1)
[ "$known" -ge 32 ] || fail "the second turn knew only $known tokens of its prompt"
[ "$(sed -n 's/.*"finish_reason": *"\(.*\)".*/\1/p' two.json | wc -l)" = 2 ] || fail 'not two turns'

# Commands.
printf 'a\n/regenerate\n/save r.json\n/clear\n/save c.json\n/system be kind\n/save s.json\n/quit\nb\n' |
    "$adze" chat $options --system x >out.txt 2>err.txt || fail "commands: $(cat err.txt)"
[ "$(grep -c '"role"' r.json)" = 3 ] || fail "after /regenerate: $(cat r.json)"
[ "$(grep -c '"role"' c.json)" = 1 ] || fail "after /clear: $(cat c.json)"
grep -q 'be kind' s.json || fail "after /system: $(cat s.json)"
grep -q 'tokens, .* a second' err.txt || fail "no rate: $(cat err.txt)"
printf '/help\n' | "$adze" chat $options 2>err.txt || fail '/help'
grep -q '/regenerate' err.txt || fail "/help said $(cat err.txt)"

# What is wrong is said.
printf '/nothing\n' >in.txt
expect 2 'there is no /nothing' "$adze" chat $options <in.txt
printf '/save r.json\n' >in.txt
expect 1 'r.json exists' "$adze" chat $options <in.txt
printf '/regenerate\n' >in.txt
expect 2 'no question' "$adze" chat $options <in.txt
printf 'forbidden\n' >in.txt
expect 1 'chat template of model: line 2: not a word' "$adze" chat $options <in.txt
expect 2 'is not KEY=JSON' "$adze" chat $options --chat-value tone </dev/null
expect 1 'no chat template other' "$adze" chat $options --chat-template other </dev/null
printf 'x{{ messages[0].content }}' >mine.jinja
"$adze" generate --chat $options --chat-template mine.jinja -p a --json >mine.json || fail 'a file'
[ "$(number prompt_tokens mine.json)" = 2 ] || fail "a template from a file gave $(cat mine.json)"
printf '%s' '{{ 1' >mine.jinja
expect 1 'line 1: ' "$adze" generate --chat $options --chat-template mine.jinja -p a

# The template and the ends go along into other files.
"$adze" convert -m model -o model.gguf --quiet || fail convert
"$adze" generate --chat -m model.gguf --temperature 0 -n 12 --threads 1 -p 'the cat sees' --json >gguf.json
[ "$(ids gguf.json)" = "$(ids one.json)" ] || fail "GGUF gave $(ids gguf.json), not $(ids one.json)"

# Ctrl-C stops the answer, not the program: what has come is kept, and the next line is answered. The
# model is asked for more than it can say in the test's time.
sed -i 's/"max_position_embeddings": 512/"max_position_embeddings": 200000/' model/config.json
mkfifo lines
"$adze" chat -m model --temperature 0 --threads 1 -n 190000 -c 0 <lines >out.txt 2>err.txt &
chat=$!
exec 3>lines
await() {
    for _ in $(seq 300); do
        "$@" && return
        sleep 0.1
    done
    fail "waited in vain for $*: $(cat err.txt)"
}
echo 'the cat sees' >&3
await [ -s out.txt ]
kill -INT $chat
await grep -q '; stopped' err.txt
echo '/save stopped.json' >&3
await [ -s stopped.json ]
[ "$(grep -c '"role"' stopped.json)" = 2 ] || fail "after Ctrl-C: $(cat stopped.json)"
exec 3>&-
wait $chat || fail "after Ctrl-C it ended with $?"
