#!/bin/sh
# Ctrl-C in every long command: a tidy end, one line, nothing half written; a second one ends at once.
. "$(dirname "$0")/common.sh"
make_corpus
"$adze" train -d corpus $tiny --steps 2 -o model -q || fail "training"

# interrupt SIGNAL COMMAND...: sends the signal as soon as the run is on the ledger; again, should the
# run have been faster
interrupt() {
    signal=$1
    shift
    for try in 1 2 3 4 5 6 7 8 9; do
        before=$("$adze" runs 2>/dev/null | wc -l)
        "$@" >out.txt 2>err.txt &
        process=$!
        for i in $(seq 1000); do
            [ "$("$adze" runs 2>/dev/null | wc -l)" = "$before" ] || break
        done
        kill -"$signal" $process
        wait $process
        got=$?
        [ $got = 0 ] || break
        rm -rf parts s
    done
}
for i in $(seq 300); do cat corpus/*.txt; done >big.txt
for signal in INT TERM HUP; do
    interrupt $signal "$adze" split -d big.txt --chunk 5 --keep-duplicates -o parts --force -q
    [ $got = 1 ] || fail "split, $signal: $got"
    interrupt $signal "$adze" select -d big.txt --chunk 9 --keep-duplicates --target corpus -o s --force -q
    [ $got = 1 ] || fail "select, $signal: $got"
    interrupt $signal "$adze" perplexity -m model -d big.txt --force -q
    [ $got = 1 ] || fail "perplexity, $signal: $got"
    [ "$(grep -c '^adze: stopped' err.txt)" = 1 ] || fail "perplexity, $signal: $(cat err.txt)"
done
ls . parts | grep -E '\.[0-9]{6}$' && fail "half-written files are left"
[ ! -e s ] && [ ! -e parts/train.jsonl ] || fail "half a result is there"
[ "$("$adze" runs | grep -c ' stopped ')" = 9 ] || fail "the ledger does not say so: $("$adze" runs)"

"$adze" train -d corpus $tiny --steps 1000000 -o long -q 2>err.txt &
process=$!
sleep 0.3
kill -STOP $process # both signals are there when it goes on
kill -INT $process
kill -TERM $process
kill -CONT $process
wait $process
[ $? = 130 ] || fail "a second signal does not end it at once"

# a file cut short under a running command is a message, not a crash
"$adze" train -d corpus $tiny --steps 1000000 -o cut -q 2>err.txt &
process=$!
for i in $(seq 1000); do
    [ ! -e cut/data/held-out-0.tokens ] || break
    sleep 0.01
done
sleep 0.3
: >cut/data/train-0.tokens
wait $process
[ $? = 1 ] && grep -q 'cut short' err.txt || fail "a file cut short: $(cat err.txt)"
exit 0
