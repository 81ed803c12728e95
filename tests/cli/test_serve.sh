#!/bin/sh
# The server as its clients meet it: all routes, answers that stream and that don't, many at once,
# limits, keys, hostile input, and its end. ADZE_FLOOD says how many requests come at once,
# ADZE_TRAINER which program makes the models: sanitizers make both slow.
. "$(dirname "$0")/common.sh"
command -v curl >/dev/null || fail "curl is missing: scripts/deps.sh --tests --install"
client=$(dirname "$adze")/serve_client
trainer=${ADZE_TRAINER:-$adze}
count=${ADZE_FLOOD:-10000}
[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -gt 10500 ] || count=2000
make_corpus
"$trainer" train -d corpus --steps 60 --layers 2 --width 64 --heads 2 --context 512 --batch 2 \
    --vocabulary 300 --threads 2 -o model -q || fail "no model"

# start OPTIONS...: of the model of that name, unless the first is -m
start() {
    case $1 in -m) ;; *) set -- -m model "$@" ;; esac
    start_server "$@"
}
# ask PATH BODY: the answer in answer.txt, the status in $status.
ask() {
    status=$(curl -s -m 120 -o answer.txt -w '%{http_code}' "$url$1" -d "$2")
}
# refused STATUS PATTERN PATH BODY
refused() {
    ask "$3" "$4"
    [ "$status" = "$1" ] || fail "$3 $4: status $status instead of $1: $(cat answer.txt)"
    grep -q '^{"error":{"message":".*"type":".*"param":.*"code":.*}}$' answer.txt ||
        fail "$3 $4: no error in OpenAI's form: $(cat answer.txt)"
    grep -qE -e "$2" answer.txt || fail "$3 $4 said $(cat answer.txt); wanted: $2"
}
has() {
    grep -qF -e "$1" "${2:-answer.txt}" || fail "no '$1' in: $(cat "${2:-answer.txt}")"
}
# The text of a whole answer, and of one that streams, as JSON writes it.
whole_text() {
    sed -n 's/.*"index":0,"text":"\(.*\)","logprobs".*/\1/p' "$1"
}
streamed_text() {
    sed -n 's/^data: .*"index":0,"text":"\(.*\)","logprobs".*/\1/p' "$1" | tr -d '\n'
}

start --slots 4 --queue 20000 --patience 3 --grace 300

# the small routes
[ "$(curl -s "$url/health")" = '{"status":"ok"}' ] || fail "not healthy"
curl -s "$url/v1/models" >answer.txt
has '"id":"tiny"'
has '"family":"llama"'
ask /tokenize '{"prompt":"the cat sees"}'
has '"count":'
tokens=$(sed 's/.*"tokens":\(\[[^]]*\]\).*/\1/' answer.txt)
ask /detokenize "{\"tokens\":$tokens}"
has '"prompt":"the cat sees"'
curl -s "$url/" >page.html
has '<title>adze</title>' page.html
curl -s "$url/stats" >answer.txt
has '"sampling":{"temperature":0.8'
[ "$(curl -s -o /dev/null -w '%{http_code}' -I "$url/health")" = 200 ] || fail "HEAD is refused"

# completions: whole, streamed, from token ids, in lists, alone and together
body='"prompt":"the cat","max_tokens":40,"seed":5,"temperature":0.9'
ask /v1/completions "{$body}"
[ "$status" = 200 ] || fail "no completion: $(cat answer.txt)"
cp answer.txt alone.txt
text=$(whole_text alone.txt)
[ -n "$text" ] || fail "no text: $(cat alone.txt)"
has '"object":"text_completion"'
has '"total_tokens":'
curl -sN "$url/v1/completions" -d "{$body,\"stream\":true,\"stream_options\":{\"include_usage\":true}}" \
    >stream.txt
[ "$(streamed_text stream.txt)" = "$text" ] || fail "streamed: $(cat stream.txt); whole: $text"
[ "$(grep -v '^$' stream.txt | tail -n 1)" = 'data: [DONE]' ] || fail "the stream has no end"
has '"choices":[],"usage":{"prompt_tokens":' stream.txt
[ "$(grep -c '"finish_reason":"' stream.txt)" = 1 ] || fail "not one finish_reason"
ask /tokenize '{"prompt":"the cat"}'
tokens=$(sed 's/.*"tokens":\(\[[^]]*\]\).*/\1/' answer.txt)
ask /v1/completions "{\"prompt\":$tokens,\"max_tokens\":40,\"seed\":5,\"temperature\":0.9}"
[ "$(whole_text answer.txt)" = "$text" ] || fail "token ids give another text than their text"
ask /v1/completions '{"prompt":["a dog","the cat"],"n":2,"max_tokens":40,"seed":5,"temperature":0.9}'
[ "$(grep -o '"index":' answer.txt | wc -l)" = 4 ] || fail "not 2 prompts * 2 choices"
sed 's/.*"index":2,"text":"\(.*\)","logprobs":.*"index":3.*/\1/' answer.txt >third.txt
[ "$(cat third.txt)" = "$text" ] || fail "in a list: $(cat third.txt); alone: $text"
for i in $(seq 24); do
    curl -s "$url/v1/completions" -o "many.$i.txt" \
        -d "{\"prompt\":\"the cat\",\"max_tokens\":40,\"seed\":$((i % 3 + 4)),\"temperature\":0.9}" &
    eval "job$i=\$!"
done
for i in $(seq 24); do eval "wait \$job$i"; done
for i in $(seq 1 3 24); do
    [ "$(whole_text many.$i.txt)" = "$text" ] || fail "in company: $(cat many.$i.txt); alone: $text"
done

# stop, biases, log-probabilities, echo
word=$(printf '%s' "$text" | cut -c 6-8)
ask /v1/completions "{$body,\"stop\":[\"$word\"]}"
has '"finish_reason":"stop"'
case $text in "$(whole_text answer.txt)$word"*) ;; *) fail "stopped wrongly: $(cat answer.txt)" ;; esac
first=$(printf '%s' "$tokens" | tr -d '[]' | cut -d , -f 1)
ask /v1/completions "{\"prompt\":\"a\",\"max_tokens\":3,\"temperature\":0,\"logit_bias\":{\"$first\":100}}"
ask /detokenize "{\"tokens\":[$first,$first,$first]}"
has '"prompt":"'
ask /v1/completions '{"prompt":"the cat","max_tokens":2,"temperature":0,"logprobs":3}'
[ "$(grep -o '"text_offset":\[0,[0-9]*\]' answer.txt | wc -l)" = 1 ] || fail "offsets: $(cat answer.txt)"
has '"top_logprobs":[{'
ask /v1/completions '{"prompt":"the cat","max_tokens":0,"echo":true,"logprobs":1}'
has '"text":"the cat"'
has '"token_logprobs":[null,-'
has '"completion_tokens":0'
ask /v1/completions '{"prompt":"the cat","max_tokens":1,"echo":true,"temperature":0}'
case $(whole_text answer.txt) in "the cat"?*) ;; *) fail "no echo: $(cat answer.txt)" ;; esac

# the prefix is shared, and that changes nothing
long=$(sentences 12 3 | tr '\n' ' ')
ask /v1/completions "{\"prompt\":\"$long\",\"max_tokens\":20,\"temperature\":0}"
before=$(whole_text answer.txt)
ask /v1/completions "{\"prompt\":\"$long\",\"max_tokens\":20,\"temperature\":0}"
[ "$(whole_text answer.txt)" = "$before" ] || fail "a cached prompt gives another answer"
grep -q '"cached_tokens":[1-9]' answer.txt || fail "nothing was cached: $(cat answer.txt)"

# embeddings
ask /v1/embeddings '{"input":["the cat","a dog"]}'
[ "$status" = 200 ] || fail "no embeddings: $(cat answer.txt)"
sed 's/.*"index":0,"embedding":\[\([^]]*\)\].*/\1/' answer.txt | tr ',' '\n' |
    awk '{ s += $1 * $1 } END { exit !(NR == 64 && s > 0.999 && s < 1.001) }' ||
    fail "the embedding has not width 64 and length 1"
ask /v1/embeddings '{"input":"the cat","encoding_format":"base64"}'
[ "$(sed 's/.*"embedding":"\([^"]*\)".*/\1/' answer.txt | base64 -d | wc -c)" = 256 ] ||
    fail "base64: $(cat answer.txt)"

# without a template there is no chat, and that is said
refused 501 'no_chat_template' /v1/chat/completions '{"messages":[{"role":"user","content":"a"}]}'
refused 400 "'messages' must be" /v1/chat/completions '{"messages":[]}'

# malformed and absurd requests
refused 404 'nothing at this path' /v2/completions '{}'
[ "$(curl -s -o answer.txt -w '%{http_code}' "$url/v1/completions")" = 405 ] || fail "GET is taken"
refused 405 'GET only' /health '{}'
refused 400 'no JSON' /v1/completions '{"prompt":'
refused 400 'no JSON' /v1/completions ''
refused 400 'must be a JSON object' /v1/completions '[1]'
printf '{"prompt":"\377\376"}' >bytes.txt
refused 400 'no JSON' /v1/completions @bytes.txt
refused 400 '"param":"max_tokens"' /v1/completions '{"prompt":"a","max_tokens":-5}'
refused 400 '"param":"temperature"' /v1/completions '{"prompt":"a","temperature":1e308}'
refused 400 '"param":"n"' /v1/completions '{"prompt":"a","n":1000000}'
refused 400 '"param":"prompt"' /v1/completions '{"prompt":[1,2,99999999]}'
refused 400 'unsupported_parameter' /v1/completions '{"prompt":"a","suffix":"b"}'
refused 400 '"param":"best_of"' /v1/completions '{"prompt":"a","best_of":4}'
awk 'BEGIN { printf "{\"prompt\":"; for (i = 0; i < 100000; i++) printf "["; print "" }' >deep.txt
refused 400 'no JSON' /v1/completions @deep.txt
awk 'BEGIN { printf "{\"prompt\":\""; for (i = 0; i < 3000; i++) printf "cat dog "; print "\"}" }' >long.txt
refused 400 'context_length_exceeded' /v1/completions @long.txt
head -c 9000000 /dev/zero | tr '\0' ' ' >large.txt
refused 413 'more than 8000000 bytes' /v1/completions @large.txt
status=$(curl -s -m 60 -o answer.txt -w '%{http_code}' -H 'Transfer-Encoding: chunked' \
    -H 'Expect:' "$url/v1/completions" -d @large.txt)
[ "$status" = 413 ] || fail "a large body in chunks: $status"
status=$(curl -s -o answer.txt -w '%{http_code}' -H 'Origin: http://evil.example' "$url/v1/models")
[ "$status" = 403 ] || fail "a foreign page may ask: $status"
status=$(curl -s -o answer.txt -w '%{http_code}' -H "Origin: $url" "$url/v1/models")
[ "$status" = 200 ] || fail "the own page may not ask: $status"
for length in 99999999999999999999 -1 x 9223372036854775807; do
    status=$(curl -s -m 5 -o answer.txt -w '%{http_code}' -H "Content-Length: $length" \
        "$url/v1/completions" -d '{"prompt":"a"}')
    case $status in 400 | 413) ;; *) fail "Content-Length $length: $status" ;; esac
done
awk 'BEGIN { printf "X: "; for (i = 0; i < 100000; i++) printf "x"; print "" }' >header.txt
status=$(curl -s -m 5 -o answer.txt -w '%{http_code}' -H @header.txt "$url/health")
[ "$status" = 431 ] || fail "a header of 100 kB: $status"
# a length that can be read in two ways: no byte of the body becomes another request
for headers in 'Content-Length: 2\r\nContent-Length: 40' 'Transfer-Encoding: chunked\r\nContent-Length: 2'; do
    printf "POST /tokenize HTTP/1.1\r\nHost: a\r\n$headers\r\n\r\n{}GET /health HTTP/1.1\r\nHost: a\r\n\r\n" |
        curl -s -m 5 "telnet://127.0.0.1:$port" >answer.txt 2>/dev/null
    has '"code":"two_lengths"'
    grep -q '"status":"ok"' answer.txt && fail "a body is taken for a request: $(cat answer.txt)"
done
printf 'GARBAGE\r\n\r\n' | curl -s -m 5 "telnet://127.0.0.1:$port" >/dev/null 2>&1
[ "$(curl -s "$url/health")" = '{"status":"ok"}' ] || fail "hurt by malformed requests"

# the client is gone: its sequence ends
curl -s -m 0.4 "$url/v1/completions" -o out.txt \
    -d '{"prompt":"the cat","max_tokens":400,"n":128,"ignore_eos":true}'
curl -sN -m 0.4 "$url/v1/completions" -o out.txt \
    -d '{"prompt":"the cat","max_tokens":400,"n":128,"ignore_eos":true,"stream":true}'
for i in $(seq 100); do
    curl -s "$url/metrics" >metrics.txt
    grep -q '^adze_working_sequences 0$' metrics.txt && break
    sleep 0.1
done
has 'adze_working_sequences 0' metrics.txt
has 'adze_queue_sequences 0' metrics.txt
has 'adze_canceled_total 2' metrics.txt
has 'adze_first_token_seconds_bucket{le="+Inf"}' metrics.txt
has 'adze_requests_total{route="/v1/completions",status="400"}' metrics.txt

# many requests at once wait behind a large one, and all get the one right answer
curl -s "$url/v1/completions" -o out.txt \
    -d "{\"prompt\":[\"a\",\"b\",\"c\",\"d\"],\"max_tokens\":400,\"n\":$((count / 80 + 1)),\"ignore_eos\":true}" &
large=$!
sleep 0.2
"$client" flood "$port" $count '{"prompt":"the cat","max_tokens":2,"temperature":0}' >flood.txt &
flood=$!
most=0
while kill -0 $flood 2>/dev/null; do
    waiting=$(curl -s "$url/metrics" | sed -n 's/^adze_queue_sequences //p')
    [ "${waiting:-0}" -le $most ] || most=$waiting
    sleep 0.1
done
wait $flood
wait $large
has "200: $count" flood.txt
has 'different: 0' flood.txt
[ $most -gt $((count * 3 / 4)) ] || fail "only $most requests have waited at once"

# who sends a header, or a body, byte by byte is cut off, and hinders nobody
for part in header body; do
    "$client" drip "$port" 50 $part >drip.txt &
    drip=$!
    sleep 1
    [ "$(curl -s -m 3 "$url/health")" = '{"status":"ok"}' ] || fail "hindered by slow clients"
    wait $drip
    has 'open: 0' drip.txt
    awk '/seconds/ && $2 > 8 { exit 1 }' drip.txt || fail "slow clients stay: $(cat drip.txt)"
done

# the page, in a browser
if command -v chromium >/dev/null; then
    for patience in 60 1200; do # seconds of the page's clock, which runs ahead of a slow server
        timeout 200 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
            --user-data-dir="$work/browser" --virtual-time-budget=${patience}000 --dump-dom \
            "$url/?ask=the%20cat" >dom.html 2>/dev/null
        grep -q 'data-end="' dom.html && break
    done
    has 'id="name">tiny<' dom.html
    grep -qE 'class="model" data-end="(stop|length)"' dom.html || fail "the page has no answer"
    grep -oE '[0-9]+ tokens' dom.html | grep -q '[1-9]' || fail "the page counts no tokens"
else
    echo "chromium is missing: the page is not tried"
fi

# a soft end: what is at work is finished, what comes is refused
last=$((count / 160 + 1))
curl -s "$url/v1/completions" -o late.txt \
    -d "{\"prompt\":\"the cat\",\"max_tokens\":400,\"n\":$((last + 1)),\"ignore_eos\":true}" &
late=$!
sleep 0.3
kill -TERM $server
sleep 0.2
status=$(curl -s -o answer.txt -w '%{http_code}' "$url/v1/completions" -d '{"prompt":"a"}')
[ "$status" = 503 ] || [ "$status" = 000 ] || fail "taken while shutting down: $status"
wait $late || fail "the last answer is lost"
grep -q "\"index\":$last," late.txt || fail "the last answer is cut: $(head -c 300 late.txt)"
wait $server || fail "the server ended with $?"

# keys, a full queue, time limits
printf 'second\n\nthird\n' >keys.txt
start --api-key first --api-key-file keys.txt --slots 1 --queue 2 --timeout 1.5 --grace 1 \
    --prompt-limit 20 --body-limit 1k --connections 40
refused 401 'invalid_api_key' /v1/completions '{"prompt":"a"}'
[ "$(curl -s "$url/health")" = '{"status":"ok"}' ] || fail "health needs a key"
for key in first second third fourth '' firstx firs; do
    status=$(curl -s -o answer.txt -w '%{http_code}' -H "Authorization: Bearer $key" "$url/v1/models")
    case $key in first | second | third) wanted=200 ;; *) wanted=401 ;; esac
    [ "$status" = $wanted ] || fail "key '$key': $status"
done
with="Authorization: Bearer second"
status=$(curl -s -H "$with" -o answer.txt -w '%{http_code}' "$url/v1/completions" \
    -d '{"prompt":"the cat sees the dog and the tree and the house and the river and a stone and a cat"}')
[ "$status" = 400 ] || fail "a prompt beyond --prompt-limit: $status"
curl -s -H "$with" -o slow.txt -w '%{http_code}' "$url/v1/completions" \
    -d '{"prompt":["a","b","c","d","e","f","g","h"],"max_tokens":450,"n":128,"ignore_eos":true}' \
    >slow.status &
slow=$!
sleep 0.4
status=$(curl -s -H "$with" -D head.txt -o answer.txt -w '%{http_code}' "$url/v1/completions" \
    -d '{"prompt":"a","n":3}')
[ "$status" = 429 ] || fail "the full queue takes more: $status"
grep -qi '^retry-after: 1' head.txt || fail "429 without Retry-After"
wait $slow
[ "$(cat slow.status)" = 504 ] || fail "no time limit: $(cat slow.status)"
has 'longer than 1.5 s' slow.txt
stop_server

# beyond the queue, each of many requests gets its answer or a clean refusal
start --slots 4 --queue $((count / 20))
curl -s "$url/v1/completions" -o out.txt \
    -d "{\"prompt\":[\"a\",\"b\"],\"max_tokens\":400,\"n\":$((count / 80 + 1)),\"ignore_eos\":true}" &
large=$! # which fills half of the queue meanwhile
sleep 0.2
"$client" flood "$port" $count '{"prompt":"the cat","max_tokens":2,"temperature":0}' >flood.txt
wait $large
awk -v count=$count '/^[0-9]/ { sum += $2 } /^(200|429):/ { known += $2 }
    END { exit !(sum == count && known == count) }' flood.txt || fail "not 200 and 429: $(cat flood.txt)"
has '429: ' flood.txt
has 'different: 0' flood.txt
stop_server

# all bodies together are bounded: what does not fit beside a slow one is refused, and later taken
awk 'BEGIN { printf "{\"prompt\":\"a\",\"max_tokens\":1}"; for (i = 0; i < 70000; i++) printf " " }' >wide.txt
start --bodies-limit 100000
curl -s -o out.txt --limit-rate 20k -T wide.txt -X POST "$url/v1/completions" &
slow=$!
for i in $(seq 100); do
    [ "$(curl -s "$url/metrics" | sed -n 's/^adze_body_bytes //p')" -gt 40000 ] && break
    sleep 0.1
done
for how in Expect: Transfer-Encoding:chunked; do
    status=$(curl -s -D head.txt -o answer.txt -w '%{http_code}' -H $how "$url/v1/completions" -d @wide.txt)
    [ "$status" = 503 ] || fail "$how: more bodies than --bodies-limit are taken: $status"
    has '"code":"overloaded"'
    grep -qi '^retry-after: 1' head.txt || fail "503 without Retry-After"
done
kill $slow
for i in $(seq 100); do
    curl -s "$url/metrics" | grep -q '^adze_body_bytes 0$' && break
    sleep 0.1
done
ask /v1/completions @wide.txt
[ "$status" = 200 ] || fail "refused with no bodies there: $(cat answer.txt)"
curl -s "$url/metrics" | grep -q '^adze_body_bytes 0$' || fail "bytes of bodies are not given back"
stop_server

# a model with a template chats: as it would continue the text that the template gives
cp -r model talker
cat >talker/tokenizer_config.json <<'END'
{"chat_template": "{% for m in messages %}{% if m.role == 'bad' %}{{ raise_exception('no such role') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if tools %}T{{ tools | length }}{% endif %}{% if add_generation_prompt %}<assistant>{% endif %}"}
END
start -m talker --precision f32
chat='"messages":[{"role":"user","content":[{"type":"text","text":"the cat"}]}],"max_tokens":12,"seed":2'
ask /v1/chat/completions "{$chat,\"logprobs\":true,\"top_logprobs\":1}"
[ "$status" = 200 ] || fail "no chat: $(cat answer.txt)"
has '"object":"chat.completion"'
has '"message":{"role":"assistant","content":"'
has '"logprobs":{"content":[{"token":"'
said=$(sed 's/.*"content":"\(.*\)"},"logprobs".*/\1/' answer.txt)
[ -n "$said" ] || fail "nothing was said: $(cat answer.txt)"
ask /v1/completions '{"prompt":"<user>the cat<assistant>","max_tokens":12,"seed":2,"add_special_tokens":false}'
[ "$(whole_text answer.txt)" = "$said" ] || fail "the chat is another text: $said; $(cat answer.txt)"
curl -sN "$url/v1/chat/completions" -d "{$chat,\"stream\":true}" >stream.txt
head -n 1 stream.txt | grep -qF '"delta":{"role":"assistant","content":""}' || fail "no role first"
sed -n 's/.*"delta":{"content":"\(.*\)"},"logprobs".*/\1/p' stream.txt | tr -d '\n' >said.txt
[ "$(cat said.txt)" = "$said" ] || fail "streamed: $(cat said.txt); whole: $said"
ask /v1/chat/completions "{$chat,\"tools\":[{},{}]}"
[ "$status" = 200 ] || fail "tools are refused: $(cat answer.txt)"
grep -q '"prompt_tokens":[0-9]*' answer.txt || fail "no tools: $(cat answer.txt)"
refused 400 'no such role' /v1/chat/completions '{"messages":[{"role":"bad","content":"a"}]}'
refused 400 'text only' /v1/chat/completions \
    '{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}'
stop_server

# a template that takes no tools: the field of the refusal is theirs
cp -r model plain
echo '{"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}' \
    >plain/tokenizer_config.json
start -m plain
refused 400 'takes no tools.*"param":"tools"' /v1/chat/completions \
    '{"messages":[{"role":"user","content":"a"}],"tools":[{}]}'
ask /v1/chat/completions '{"messages":[{"role":"user","content":"a"}],"max_tokens":1}'
[ "$status" = 200 ] || fail "no chat without tools: $(cat answer.txt)"
stop_server

# an adapter and another template, as adze generate has them
echo '{% for m in messages %}[{{ m.content }}]{% endfor %}' >mine.jinja
"$trainer" tune -m talker -d corpus --steps 8 --rate 0.05 --rank 4 --batch 2 --context 32 --threads 2 \
    -o bent -q 2>tune.txt || fail "no adapter: $(cat tune.txt)"
start -m talker --precision f32 --adapter bent --chat-template mine.jinja
curl -s "$url/v1/models" >answer.txt
has '"adapters":["bent"]'
ask /v1/completions '{"prompt":"the cat","max_tokens":12,"temperature":0}'
cp answer.txt bent.txt
"$adze" generate -m talker --adapter bent -p 'the cat' -n 12 --temperature 0 --precision f32 -q \
    --json >generated.json || fail "generate with an adapter"
grep -qF "\"text\": \"$(whole_text bent.txt)\"" generated.json ||
    fail "served: $(cat bent.txt); generated: $(cat generated.json)"
ask /tokenize '{"prompt":"[the cat]","add_special_tokens":false}'
tokens=$(sed 's/.*"count":\([0-9]*\).*/\1/' answer.txt)
ask /v1/chat/completions '{"messages":[{"role":"user","content":"the cat"}],"max_tokens":1}'
has "\"prompt_tokens\":$tokens,"
stop_server
start -m talker --precision f32
ask /v1/completions '{"prompt":"the cat","max_tokens":12,"temperature":0}'
[ "$(whole_text answer.txt)" != "$(whole_text bent.txt)" ] || fail "the adapter changes nothing"
stop_server
expect 1 'no chat template other' "$adze" serve -m talker --chat-template other
echo '{% for' >broken.jinja
expect 1 'line 1: ' "$adze" serve -m talker --chat-template broken.jinja

# a model that calls tools: calls are taken out of the text, and what is no call stays in it
for i in $(seq 400); do
    printf 'Rain? Let me see. <tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>;'
    printf 'Sun? <tool_call>{"name": weather};'
done >calls.txt
"$trainer" train -d calls.txt --steps 120 --layers 2 --width 64 --heads 2 --context 128 --batch 4 \
    --vocabulary 300 --threads 2 -o caller -q 2>train.txt || fail "no model: $(cat train.txt)"
cat >caller/tokenizer_config.json <<'END'
{"chat_template": "{% for m in messages %}{% if m.role == 'strict' %}{{ '' + m.content }}{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments.city }}</tool_call>{% endfor %}{% endfor %}{% if tools and false %}<tool_call>{% endif %}"}
END
start -m caller --precision f32
chat='"tools":[{}],"temperature":0,"max_tokens":100,"stop":[";"]'
ask /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"Rain?\"}],$chat}"
grep -qE '"message":\{"role":"assistant","content":" Let me see.","tool_calls":\[\{"id":"[A-Za-z0-9]{9}","type":"function","function":\{"name":"weather","arguments":"\{\\"city\\": \\"Ulm\\"\}"\}\}\]\},"logprobs":null,"finish_reason":"tool_calls"' \
    answer.txt || fail "no call: $(cat answer.txt)"
ask /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"Rain? Let me see.\"}],$chat}"
has '"content":null,"tool_calls":['
curl -sN "$url/v1/chat/completions" \
    -d "{\"messages\":[{\"role\":\"user\",\"content\":\"Rain?\"}],\"stream\":true,$chat}" >stream.txt
grep -qE '"delta":\{"tool_calls":\[\{"id":"[A-Za-z0-9]{9}","type":"function","function":\{"name":"weather","arguments":"\{\\"city\\": \\"Ulm\\"\}"\},"index":0\}\]\}' \
    stream.txt || fail "no call in the stream: $(cat stream.txt)"
has '"delta":{},"logprobs":null,"finish_reason":"tool_calls"' stream.txt
[ "$(sed -n 's/.*"delta":{"content":"\(.*\)"},"logprobs".*/\1/p' stream.txt | tr -d '\n')" = ' Let me see.' ] ||
    fail "the text beside the call: $(cat stream.txt)"
call=' <tool_call>{\"name\": '
ask /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"Sun?\"}],$chat}"
has "\"content\":\"${call}weather}\"},\"logprobs\":null,\"finish_reason\":\"stop\""
ask /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"Rain?\"}],$chat,\"tool_choice\":\"none\"}"
has "\"content\":\" Let me see.${call}\\\"weather\\\", "
refused 400 'cannot be forced' /v1/chat/completions \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Rain?\"}],$chat,\"tool_choice\":\"required\"}"
# arguments in messages are texts; templates get them as objects, and a content where they need one
ask /v1/chat/completions "{\"messages\":[{\"role\":\"strict\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":\"{\\\"city\\\":\\\"Ulm\\\"}\"}}]}],$chat,\"max_tokens\":1}"
[ "$status" = 200 ] || fail "a call in a message is refused: $(cat answer.txt)"
cp answer.txt with_call.txt
ask /tokenize '{"prompt":"<tool_call>Ulm</tool_call>","add_special_tokens":false}'
has "\"prompt_tokens\":$(sed 's/.*"count":\([0-9]*\).*/\1/' answer.txt)," with_call.txt
stop_server

# what a request leaves out of the sampling is as the model suggests, here and in adze generate
echo '{"temperature": 0}' >caller/generation_config.json
start -m caller --precision f32
ask /v1/completions '{"prompt":"Rain?","max_tokens":40,"seed":3,"temperature":0}'
cp answer.txt greedy.txt
ask /v1/completions '{"prompt":"Rain?","max_tokens":40,"seed":3}'
[ "$(whole_text answer.txt)" = "$(whole_text greedy.txt)" ] || fail "not as suggested: $(cat answer.txt)"
curl -s "$url/stats" >answer.txt
has '"sampling":{"temperature":0.0,"top_k":40,'
ask /v1/completions '{"prompt":"Rain?","max_tokens":40,"seed":3,"temperature":5,"top_k":0,"min_p":0,"top_p":1}'
[ "$(whole_text answer.txt)" != "$(whole_text greedy.txt)" ] || fail "no temperature is obeyed"
wild=$(whole_text answer.txt)
"$adze" generate -m caller -p 'Rain?' -n 40 -s 3 --precision f32 -q >generated.txt
"$adze" generate -m caller -p 'Rain?' -n 40 -s 3 --precision f32 -q --temperature 0 >zero.txt
cmp -s generated.txt zero.txt || fail "generated: $(cat generated.txt)"
stop_server
start -m caller --precision f32 --sampling openai
ask /v1/completions '{"prompt":"Rain?","max_tokens":40,"seed":3,"temperature":5}'
[ "$(whole_text answer.txt)" = "$wild" ] || fail "cuts that OpenAI has not: $(cat answer.txt)"
stop_server

# a model's vocabulary may be larger than its tokenizer's: such tokens have no text
cp -r model padded
"$adze" tokenizer train -d corpus -n 260 -o padded/tokenizer.json --force -q || fail "no tokenizer"
start -m padded
ask /v1/completions '{"prompt":[5,299],"max_tokens":2,"logprobs":1,"echo":true,"logit_bias":{"298":100}}'
has '"text_offset":[0,1,1,1]'
ask /detokenize '{"tokens":[299,298]}'
has '"prompt":""'
stop_server

expect 1 'cannot listen' "$adze" serve -m model --host 192.0.2.1
: >keys.txt
expect 2 'keys.txt: no keys' "$adze" serve -m model --api-key-file keys.txt
expect 2 'must not be empty' "$adze" serve -m model --api-key ''
echo "the server does all of this"
