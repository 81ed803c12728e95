#!/bin/sh
# A recipe runs its steps in order, and runs again only what has changed.
. "$(dirname "$0")/common.sh"
make_corpus
cat >recipe.yaml <<'END'
description: a small chain
steps:
  - tokenizer train: {data: [corpus], vocabulary: 300, output: tokenizer.json}
  - train:
      data: corpus
      tokenizer: tokenizer.json
      layers: 1
      width: 32
      heads: 2
      context: 32
      batch: 4
      steps: 20
      output: model
  - shrink: {model: model, format: q8_0, output: model.gguf}
END
"$adze" run recipe.yaml 2>log.txt || fail "$(cat log.txt)"
[ -s model.gguf ] || fail "no model.gguf"
"$adze" run recipe.yaml 2>log.txt || fail "again: $(cat log.txt)"
[ "$(grep -c 'nothing has changed' log.txt)" = 3 ] || fail "something ran again: $(cat log.txt)"
cp model.gguf before.gguf
sed -i 's/q8_0/q4_0/' recipe.yaml
"$adze" run recipe.yaml --force 2>log.txt || fail "forced: $(cat log.txt)"
cmp -s before.gguf model.gguf && fail "the changed step did not run"
rm model.gguf
"$adze" run recipe.yaml 2>log.txt || fail "after a loss: $(cat log.txt)"
[ -s model.gguf ] || fail "a lost output was not made again"
[ "$(grep -c 'nothing has changed' log.txt)" = 2 ] || fail "too much ran again: $(cat log.txt)"
