#!/bin/sh
# Loads the server for a while as a crowd would: clients that ask at once, half of them for texts to
# prompts of mixed lengths and half with conversations, streaming and not, and a sixth of them hanging
# up midway. Fails when an answer differs from the one got alone, when one is missing, when the server
# ends, or when its memory grows. A MODEL without a chat template is asked for texts alone.
#
#   scripts/soak.sh [MINUTES] [CLIENTS] [MODEL]    default: 10 64, and a tiny model made on the spot
#
# ADZE names another program than build/adze, serve_client beside it; OPTIONS are the server's.
set -eu
cd "$(dirname "$0")/.."
minutes=${1:-10} clients=${2:-64} model=${3:-}
adze=${ADZE:-build/adze}
client=$(dirname "$adze")/serve_client
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$work"' EXIT

if [ -z "$model" ]; then
    model=$work/model
    seq 20000 | awk '{ print "the", $1 % 97, "sees", $1 % 89, ($1 % 20 ? "" : "\n") }' >"$work/text"
    "$adze" train -d "$work/text" --steps 60 --layers 2 --width 128 --heads 2 --context 1024 \
        --batch 1 --vocabulary 400 -o "$model" -q --ledger "$work/ledger"
    cat >"$model/chat_template.jinja" <<'END'
{% for m in messages %}[{{ m.role }}] {{ m.content }}
{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}
END
fi
"$adze" serve -m "$model" --port 0 --queue 1000 --slots 16 --cache 16384 ${OPTIONS:-} \
    2>"$work/log" &
server=$!
port=
for i in $(seq 300); do
    port=$(sed -n 's|.*://127.0.0.1:\([0-9]*\)/.*|\1|p' "$work/log")
    [ -n "$port" ] && break
    kill -0 $server || { cat "$work/log"; exit 1; }
    sleep 0.1
done
memory() {
    awk '/^VmRSS/ { print $2 }' /proc/$server/status
}

"$client" soak "$port" "$clients" 15 >"$work/warm" || { cat "$work/warm"; exit 1; }
before=$(memory)
status=0
"$client" soak "$port" "$clients" "$(awk "BEGIN { print $minutes * 60 }")" || status=$?
sleep 1
after=$(memory)
curl -s "http://127.0.0.1:$port/metrics" | grep -E '^adze_(queue|working|canceled|made|shared)' || true
echo "memory: $before kB after 15 s, $after kB after $minutes min"
# Twice as many samples never hurt the allocator's free lists; a leak would.
[ "$after" -le $((before + before / 10 + 4096)) ] || { echo "memory has grown"; status=1; }
kill -TERM $server
wait $server || { echo "the server ended with $?"; status=1; }
server=
[ $status = 0 ] && echo "the soak has passed"
exit $status
