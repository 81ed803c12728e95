#!/bin/sh
# Compares adze with other programs as they are now: transformers and safetensors on models that
# either side wrote, and on all-MiniLM-L6-v2 when MINILM names its folder; llama.cpp when LLAMA_CPP
# names the folder of its programs; tokenizers and SentencePiece on the whole tokenizers of the
# folder that TOKENIZERS names; the server under OpenAI's client and the lm-evaluation-harness; a
# real chat model in GGUF when CHAT_MODEL names it, in a chat and by its perplexity in llama.cpp. Not part of the test suite, which holds adze to stored figures. Python
# is PEERS_PYTHON, or an environment that is made in build/peers.
set -eu
cd "$(dirname "$0")/../.."

python=${PEERS_PYTHON:-build/peers/bin/python}
if [ -z "${PEERS_PYTHON:-}" ] && [ ! -x "$python" ]; then
    python3 -m venv build/peers
    "$python" -m pip install --quiet -r tests/peers/requirements.txt
fi
cmake --preset release >/dev/null
ninja -C build --quiet adze peer_logits peer_ids
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compare() { # NAME ARGUMENT...: each works in a folder of its own
    name=$1
    shift
    mkdir "$work/$name"
    "$python" "tests/peers/check_$name.py" build "$work/$name" "$@"
}
compare transformers
compare server ${CHAT_MODEL:+"$CHAT_MODEL"}
if [ -n "${MINILM:-}" ]; then
    ADZE_MINILM=$MINILM sh tests/cli/test_embed.sh "$PWD/build/adze"
    compare embeddings "$MINILM"
else
    echo "all-MiniLM-L6-v2: not compared (MINILM names no folder)"
fi
if [ -n "${LLAMA_CPP:-}" ]; then
    compare llama_cpp "$LLAMA_CPP" ${CHAT_MODEL:+"$CHAT_MODEL"}
    compare adapters "$LLAMA_CPP"
    compare chat "$LLAMA_CPP"
else
    echo "llama.cpp: not compared (LLAMA_CPP names no folder)"
fi
if [ -n "${TOKENIZERS:-}" ]; then
    compare tokenizers "$TOKENIZERS"
else
    echo "whole tokenizers: not compared (TOKENIZERS names no folder)"
fi
