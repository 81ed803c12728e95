#!/bin/sh
# An interrupted adapt, started again, goes on where it stopped: in the very step of the very training,
# and ends with the model of a job left alone, its curves whole.
. "$(dirname "$0")/common.sh"
make_domains
job="$adze adapt --domain domain --pool pool --steps 1000 --seeds 1 --layers 1 --width 32 --heads 2
    --context 32 --vocabulary 300 --batch 4 -o"
$job whole -q || fail "the undisturbed job failed"

# Stops the job by a signal once the file is there.
stop() {
    $job parts 2>log.txt &
    process=$!
    for i in $(seq 3000); do
        [ ! -e "$2" ] || break
        sleep 0.01
    done
    kill -"$1" $process
    wait $process
    got=$?
}
stop INT parts/parts/trial-domain-dsir-1/data/held-out.tokens
[ $got = 1 ] || fail "Ctrl-C in a comparison: $got, $(cat log.txt)"
grep -q 'the same command goes on' log.txt || fail "no word of how to go on: $(cat log.txt)"
[ -e parts/parts/trial-domain-dsir-1/checkpoint.safetensors ] || fail "no checkpoint: $(cat log.txt)"
stop TERM parts/model/data/held-out.tokens
[ $got = 1 ] || fail "SIGTERM in the training: $got, $(cat log.txt)"
grep -q 'going on from step' log.txt || fail "the comparison began again: $(cat log.txt)"
stopped=$(sed -n 's/.*stopped at step \([0-9]*\);.*/\1/p' log.txt)
[ -n "$stopped" ] || fail "not stopped in the training: $(cat log.txt)"
$job parts 2>log.txt || fail "$(cat log.txt)"
grep -q "going on from step $stopped of 1000" log.txt || fail "the training began again: $(cat log.txt)"
for name in model/model.safetensors parts/trial-domain-dsir-1/model.safetensors model.gguf; do
    cmp whole/$name parts/$name || fail "an interrupted job makes another $name"
done
run=$("$adze" runs | awk '$2 == "train" && $3 == "done" { run = $1 } END { print run }')
points() { # of a run's loss curve
    "$adze" runs show "$1" | awk '/^figures/ { on = 1 } on && $1 == "loss" { print $3 }'
}
[ "$(points "$run")" = "(200)" ] || fail "the curve has gaps: $(points "$run") points of 200"
$job parts 2>log.txt || fail "$(cat log.txt)"
grep -q 'adapt: nothing has changed' log.txt || fail "it ran again: $(cat log.txt)"
