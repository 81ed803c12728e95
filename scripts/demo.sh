#!/bin/sh
# The main job on text that Debian ships: a model for the Perl documentation, from a sample of it and
# a pool of six kinds of text. Ends by naming the report and the model.
#
#   scripts/demo.sh [MINUTES]     of training, default 3.5; the whole takes about a minute more
set -eu
cd "$(dirname "$0")/.."

demo=build/demo
scripts/demo-data.sh $demo
build/adze adapt --domain $demo/domain/perl --pool $demo/pool --minutes "${1:-3.5}" \
    --also python=$demo/domain/python --also linux=$demo/domain/linux --also man=$demo/domain/man \
    --also fortunes=$demo/domain/fortunes --layers 3 --width 128 --heads 4 --context 128 \
    --vocabulary 2048 \
    -o $demo/model --ledger $demo/adze.sqlite
