#!/bin/sh
# Memory estimated before a run is within a tenth of what the run then takes.
. "$(dirname "$0")/common.sh"
make_corpus
for shape in '--layers 4 --width 256 --heads 4 --vocabulary 500 --batch 8' \
    '--layers 3 --width 128 --heads 4 --vocabulary 500 --batch 4 --family gpt2'; do
    "$adze" train -d corpus $shape --steps 2 -o model --force --json -q >result.json || fail train
    awk -v e="$(number estimated_memory result.json)" -v p="$(number peak_memory result.json)" \
        'BEGIN { r = e / p; exit !(r > 0.9 && r < 1.1) }' || fail "$shape: $(cat result.json)"
done
