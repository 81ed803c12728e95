#!/bin/sh
# Compares adze with other programs as they are now: transformers and safetensors on models that
# either side wrote, and on all-MiniLM-L6-v2 when MINILM names its folder; llama.cpp when LLAMA_CPP
# names the folder of its programs; tokenizers and SentencePiece on the whole tokenizers of the
# folder that TOKENIZERS names; the server under OpenAI's client and the lm-evaluation-harness, with
# CHAT_MODEL in a chat, too. Not part of the test suite, which holds adze to stored figures. Python
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
"$python" tests/peers/check_transformers.py build "$work"
"$python" tests/peers/check_server.py build "$work" ${CHAT_MODEL:-}
if [ -n "${MINILM:-}" ]; then
    ADZE_MINILM=$MINILM sh tests/cli/test_embed.sh "$PWD/build/adze"
    "$python" tests/peers/check_embeddings.py build "$work" "$MINILM"
else
    echo "all-MiniLM-L6-v2: not compared (MINILM names no folder)"
fi
if [ -n "${LLAMA_CPP:-}" ]; then
    "$python" tests/peers/check_llama_cpp.py build "$LLAMA_CPP" "$work"
    "$python" tests/peers/check_adapters.py build "$LLAMA_CPP" "$work"
    "$python" tests/peers/check_chat.py build "$LLAMA_CPP" "$work"
else
    echo "llama.cpp: not compared (LLAMA_CPP names no folder)"
fi
if [ -n "${TOKENIZERS:-}" ]; then
    "$python" tests/peers/check_tokenizers.py build "$work" "$TOKENIZERS"
else
    echo "whole tokenizers: not compared (TOKENIZERS names no folder)"
fi
