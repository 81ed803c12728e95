#!/bin/sh
# Two processes write the ledger at once, one is killed: nothing is lost, all can be read.
. "$(dirname "$0")/common.sh"
make_corpus
for i in 1 2; do
    for j in 1 2 3 4 5; do
        "$adze" split -d corpus --seed $i$j -o parts-$i-$j -q || echo bad >>problems
    done &
done
wait
[ ! -e problems ] || fail "a run failed beside another"
"$adze" runs | grep -c ' done ' | grep -qx 10 || fail "not ten runs: $("$adze" runs)"
"$adze" train -d corpus $tiny --steps 1000000 -o long -q &
process=$!
sleep 1
kill -9 $process
wait $process 2>/dev/null
"$adze" runs | grep -q ' lost ' || fail "the killed run is not marked: $("$adze" runs)"
