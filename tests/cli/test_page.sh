#!/bin/sh
# The page of `adze serve` in a browser, at three widths: its layout, calls of tools and what they
# return, stopping, and what it says when the server refuses. The scripts that use the page are in
# tests/serve/page. PICTURES names a folder for pictures of the page at the end of each.
. "$(dirname "$0")/common.sh"
command -v chromium >/dev/null || { echo "chromium is missing: the page is not tried"; exit 77; }
browser=$(dirname "$adze")/serve_browser
trainer=${ADZE_TRAINER:-$adze}

# try_page SCRIPT WIDTHS SERVE-OPTIONS...
try_page() {
    script=$1 widths=$2
    shift 2
    start_server "$@"
    cat "$here/../serve/page/common.js" "$here/../serve/page/$script.js" >script.js
    pages=
    for width in $widths; do
        pages="$pages $width${PICTURES:+=$PICTURES/$script-$width.png}"
    done
    "$browser" browser script.js "$url/" $pages || fail "$script"
    stop_server
}

# A model that has learned to call tools, and what to say to what they return.
call='Rain? Let me see. <tool_call>{"name": "weather", "arguments": {"city": "Ulm", "days": 2}}</tool_call>'
both='Both? <tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call><tool_call>{"name": "clock", "arguments": {}}</tool_call>'
for i in $(seq 60); do
    for text in "$call" "$call" "$call" "$both" "$call|wet| Take a coat." "$call|dry| Go as you are."; do
        printf '{"text": "%s"}\n' "$(printf '%s' "$text" | sed 's/"/\\"/g')"
    done
done >calls.jsonl
"$trainer" train -d calls.jsonl --steps 150 --layers 2 --width 64 --heads 2 --context 512 --batch 4 \
    --vocabulary 300 --threads 2 -o caller -q 2>train.txt || fail "no model: $(cat train.txt)"
cat >caller/tokenizer_config.json <<'END'
{"chat_template": "{% for m in messages %}{% if m.role == 'tool' %}|{{ m.content }}|{% else %}{{ m.content or '' }}{% endif %}{% for c in m.tool_calls or [] %} <tool_call>{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}{% endfor %}{% if tools and false %}<tool_call>{% endif %}"}
END
# A model that is slow, for it is large; what it says does not matter.
make_corpus
"$trainer" train -d corpus --steps 1 --layers 12 --width 384 --heads 6 --context 512 --batch 1 \
    --vocabulary 300 --threads 2 -o slow -q 2>train.txt || fail "no model: $(cat train.txt)"

try_page layout "360 800 1280" -m caller --precision f32
try_page calls "360 1280" -m caller --precision f32
try_page stop "360 1280" -m slow --slots 1 --queue 2
exit 0
