#!/bin/sh
# A run killed at any moment, 60 times, ends with the very model of a run left alone. The moments are
# drawn as parts of the time that the undisturbed run takes, so that every machine sees as many kills:
# a run that finishes before its turn is compared, and another begins.
. "$(dirname "$0")/common.sh"
make_corpus
run="$adze train -d corpus $tiny --steps 1500 --evaluate-every 0 --checkpoint-every 0.04 -q"
before=$(date +%s%N)
$run -o whole || fail "the undisturbed run failed"
length=$((($(date +%s%N) - before) / 1000))

compare() {
    cmp whole/model.safetensors parts/model.safetensors || fail "the model differs: $1 kills"
    left=$(ls parts parts/data | grep -E '\.[0-9]{6}$')
    [ -z "$left" ] || fail "strange files are left: $left"
    rm -rf parts
}

kills=0
resumed=0
finished=0
while [ $kills -lt 60 ]; do
    [ $finished -lt 300 ] || fail "only $kills kills: runs end before their turn"
    [ ! -e parts/checkpoint.safetensors ] || resumed=$((resumed + 1))
    $run -o parts --resume 2>err.txt &
    process=$!
    # up to a fifth of the run, from a fixed series
    sleep "$(awk -v r=$((kills + finished)) -v l=$length \
        'BEGIN { srand(r); rand(); printf "%.4f", l / 5e6 * rand() }')"
    kill -9 $process 2>/dev/null
    wait $process 2>/dev/null
    case $? in
    137) kills=$((kills + 1)) ;;
    0)
        compare $kills
        finished=$((finished + 1))
        ;;
    *) fail "after $kills kills: $(cat err.txt)" ;;
    esac
done
$run -o parts --resume || fail "the last round failed"
compare $kills
[ $resumed -ge 20 ] || fail "only $resumed rounds went on from a checkpoint"
"$adze" runs >/dev/null || fail "the ledger does not open"
echo "$kills kills, $resumed rounds from a checkpoint, $((finished + 1)) runs to the end"
