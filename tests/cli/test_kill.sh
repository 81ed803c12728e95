#!/bin/sh
# A run killed at any moment, 50 times and more, ends with the very model of a run left alone.
. "$(dirname "$0")/common.sh"
make_corpus
run="$adze train -d corpus $tiny --steps 9000 --evaluate-every 0 --checkpoint-every 0.01 -q"
$run -o whole || fail "the undisturbed run failed"
kills=0
round=0
while :; do
    round=$((round + 1))
    [ $round -lt 2000 ] || fail "no end after $round rounds"
    $run -o parts --resume 2>err.txt &
    process=$!
    # 15 to 115 ms, from a fixed series
    sleep "$(awk -v r=$round 'BEGIN { srand(r); printf "%.3f", 0.015 + 0.1 * rand() }')"
    if kill -9 $process 2>/dev/null; then
        kills=$((kills + 1))
        wait $process 2>/dev/null
        [ $kills -ge 60 ] || continue
        $run -o parts --resume || fail "the last round failed"
    else
        wait $process || fail "round $round: $(cat err.txt)"
    fi
    break
done
[ $kills -ge 50 ] || fail "only $kills kills: the run is too short for this machine"
cmp whole/model.safetensors parts/model.safetensors || fail "the model differs after $kills kills"
ls parts parts/data | grep -E '\.[0-9]{6}$' &&
    fail "strange files are left"
"$adze" runs >/dev/null || fail "the ledger does not open"
echo "$kills kills"
