#!/bin/sh
# Measures adze beside its peers and writes docs/performance.md. Options go to bench/run.py, e.g.
# `scripts/bench.sh --only dsir`. The peers' Python is made in build/peers unless PEERS_PYTHON names
# one that has them already.
set -eu
cd "$(dirname "$0")/.."
cmake --preset release > /dev/null
ninja -C build adze bench_programs
if [ -z "${PEERS_PYTHON:-}" ]; then
    PEERS_PYTHON=build/peers/bin/python
    if [ ! -x "$PEERS_PYTHON" ]; then
        python3 -m venv build/peers
    fi
    "$PEERS_PYTHON" -m pip install --quiet torch tokenizers numpy data-selection
fi
exec python3 bench/run.py --python "$PEERS_PYTHON" "$@"
