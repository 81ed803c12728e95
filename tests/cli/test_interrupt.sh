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

# A step is given up midway, not waited for: the run goes on from before it.
"$adze" train -d corpus $tiny --steps 3 --batch 100000 -o slow >out.txt 2>err.txt &
process=$!
until grep -q 'needs about' err.txt; do kill -0 $process || fail "no training: $(cat err.txt)"; done
sleep 1
kill -INT $process
wait $process
grep -q 'stopped at step 0' err.txt || fail "a step was waited for: $(cat err.txt)"

# A budget that has room for one step is said to be so, and gets one.
"$adze" train -d corpus $tiny --minutes 0.001 --batch 20000 -o one --json >out.txt 2>err.txt ||
    fail "a short budget: $(cat err.txt)"
grep -q 'only 1 update of' err.txt || fail "a budget of one step is not told: $(cat err.txt)"
[ "$(number steps out.txt)" = 1 ] || fail "more than fits: $(cat out.txt)"

# What writes models leaves no part of one when it is stopped; what was written before it was compared
# is whole, and that is said. halt WHEN PATH COMMAND...: sends the signal when a file of the pattern WHEN
# is there, or, when that is empty, as soon as the run is on the ledger.
halt() {
    when=$1 path=$2
    shift 2
    for try in 1 2 3 4 5 6 7 8 9; do
        rm -rf small*
        [ ! -e before ] || cp -r before small
        before=$("$adze" runs 2>/dev/null | wc -l)
        "$@" -o "$path" -q >out.txt 2>err.txt &
        process=$!
        while kill -0 $process 2>/dev/null; do
            if [ -z "$when" ]; then
                [ "$("$adze" runs 2>/dev/null | wc -l)" = "$before" ] || break
            else
                for file in $when; do [ ! -e "$file" ] || break 2; done
            fi
        done
        kill -INT $process 2>/dev/null
        wait $process
        got=$?
        [ $got = 0 ] || break
    done
    [ $got = 1 ] || fail "$* ends with $got: $(cat err.txt)"
    [ "$(grep -c '^adze: stopped while' err.txt)" = 1 ] && [ "$(wc -l <err.txt)" = 1 ] ||
        fail "$* says: $(cat err.txt)"
}
nothing_left() {
    [ -z "$(ls -d small* 2>/dev/null)" ] || fail "$1 leaves $(ls -d small* small*/* 2>/dev/null)"
}
wide="--layers 8 --width 256 --heads 4 --context 64 --vocabulary 300 --threads 2"
"$adze" train -d corpus $wide --batch 1 --steps 1 -o wide -q || fail "training"
"$adze" tune -m wide -d corpus --steps 1 --batch 1 -c 32 --threads 2 -o adapter -q || fail "tuning"
halt '' small.gguf "$adze" shrink -m wide --format q4_K_M
nothing_left shrink
halt '' small.gguf "$adze" merge -m wide -a adapter
nothing_left merge
halt '' small "$adze" merge -m wide -a adapter
nothing_left "merge to a folder"
halt 'small.gguf.*' small.gguf "$adze" convert -m wide --format f16 --no-verify
nothing_left convert
halt 'small/*.*.*' small "$adze" convert -m wide --no-verify
nothing_left "convert to a folder"
halt small.gguf small.gguf "$adze" export -m wide -n 60
grep -q 'small.gguf is whole, but not proven' err.txt || fail "export: $(cat err.txt)"
"$adze" diff wide small.gguf >diff.txt 2>&1 || fail "what is called whole is not: $(cat diff.txt)"
cp -r model before
halt 'small/*.*.*' small "$adze" convert -m wide --no-verify --force
diff -r before small >diff.txt || fail "what lay in the folder is changed: $(cat diff.txt)"

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
