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

# after an input changed, its step and those behind it run again, without --force; the others don't
cat >chain.yaml <<'END'
steps:
  - select: {pool: [corpus], target: [words.txt], share: 0.5, output: selected.jsonl}
  - tokenizer train: {data: [selected.jsonl], vocabulary: 300, output: words.json}
  - tokenizer train: {data: [corpus], vocabulary: 280, output: other.json}
  - train:
      data: [selected.jsonl]
      tokenizer: words.json
      layers: 1
      width: 32
      heads: 2
      context: 32
      batch: 4
      steps: 4
      output: chosen
END
sentences 40 99 >words.txt
"$adze" run chain.yaml 2>log.txt || fail "the chain: $(cat log.txt)"
seq 1 3000 >corpus/41.txt
seq 1 700 >words.txt
cp selected.jsonl before.jsonl
"$adze" run ./chain.yaml 2>log.txt || fail "after an input changed: $(cat log.txt)"
cmp -s before.jsonl selected.jsonl && fail "the selection is the old one"
grep -q 'nothing has changed' log.txt && fail "a step with a changed input was skipped: $(cat log.txt)"
echo more >>words.txt
seq 1 800 >>words.txt
"$adze" run chain.yaml 2>log.txt || fail "after another change: $(cat log.txt)"
grep -q '^tokenizer train: nothing has changed' log.txt || fail "all ran again: $(cat log.txt)"
"$adze" run chain.yaml 2>log.txt || fail "unchanged: $(cat log.txt)"
[ "$(grep -c 'nothing has changed' log.txt)" = 4 ] || fail "something ran again: $(cat log.txt)"
# what somebody has changed, or the recipe has not made, is left alone
cp words.json kept.json
echo ' ' >>words.json
sentences 30 7 >words.txt
expect 2 'chain.yaml:3: step 2 .tokenizer train.: words.json: already exists; --force' \
    "$adze" run chain.yaml -q
mv kept.json words.json
"$adze" run chain.yaml 2>log.txt || fail "as it was left: $(cat log.txt)"
"$adze" tokenizer train -d corpus -n 270 -o other.json --force -q || fail "by hand"
echo one more >corpus/42.txt
expect 2 'step 3 .*other.json: already exists; --force' "$adze" run chain.yaml -q
