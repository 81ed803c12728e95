#!/bin/sh
# `adze tokenizer encode` and `decode` take every kind of file that has a tokenizer, and say of
# others what is wrong.
. "$(dirname "$0")/common.sh"

golden=$here/../golden
gunzip -c "$golden/tokenizers/stories.gz" >"$work/tokenizer.model"
gunzip -c "$golden/tokenizers/bert.gz" >"$work/bert.json"

ids=$("$adze" tokenizer encode -m "$work/tokenizer.model" -p 'Once upon a time')
[ "$ids" = '403 407 261 378' ] || fail "tokenizer.model gave $ids"
ids=$("$adze" tokenizer encode -m "$work" -p 'Once upon a time' --model-tokens)
[ "$ids" = '1 403 407 261 378' ] || fail "a folder with a tokenizer.model gave $ids"
text=$("$adze" tokenizer decode -m "$work/tokenizer.model" 403 407 261 378)
[ "$text" = 'Once upon a time' ] || fail "decoded to '$text'"
ids=$("$adze" tokenizer encode -m "$work/bert.json" -p 'of' --model-tokens)
first=${ids%% *} last=${ids##* }
[ "$first" = 2 ] && [ "$last" = 3 ] || fail "bert.json gave $ids"
ids=$("$adze" tokenizer encode -m "$golden/gguf/llama.gguf" -p 'the text')
[ -n "$ids" ] || fail "a GGUF file gave nothing"

head -c 1000 "$work/tokenizer.model" >"$work/cut.model"
expect 1 'cut.model' "$adze" tokenizer encode -m "$work/cut.model" -p x
expect 1 'there is neither' "$adze" tokenizer encode -m /usr/lib -p x
