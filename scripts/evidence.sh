#!/bin/sh
# What the methods claim, tried on real data: writes docs/evidence.md. Takes some minutes; results are
# kept on build/evidence/adze.sqlite, so an interrupted run goes on.
#
#   scripts/evidence.sh [SEEDS] [STEPS]
set -eu
cd "$(dirname "$0")/.."

seeds=${1:-5}
steps=${2:-200}
demo=build/demo
out=build/evidence
adze=build/adze
domains='perl python linux man foldoc fortunes'
export ADZE_LEDGER=$out/adze.sqlite
shape='--layers 3 --width 128 --heads 4 --context 128 --batch 8'

scripts/deps.sh --demo --install --quiet
scripts/demo-data.sh $demo
mkdir -p $out

number() {
    sed -n "s/.*\"$1\": *\\([-0-9.e+]*\\).*/\\1/p" | head -n 1
}
# An unchanged run is not run again; its result is printed all the same.
run() {
    "$adze" "$@" --json --quiet || {
        echo "evidence.sh: adze $* failed" >&2
        exit 1
    }
}

[ -e $out/tokenizer.json ] ||
    run tokenizer train -d $demo/pool -n 2048 -o $out/tokenizer.json >/dev/null
train() { # NAME DATA SEED
    [ -e "$out/$1" ] || run train -d "$2" --held $demo/domain/perl --tokenizer $out/tokenizer.json \
        $shape --steps "$steps" --evaluate-every 0 --evaluate-tokens 1000 --checkpoint-every 1e6 \
        --seed "$3" -o "$out/$1" >/dev/null
}
measure() { # MODEL TEXT
    run perplexity -m "$1" -d "$2" -c 128 | number bits_per_byte
}

table=$out/table.txt
: >$table
for seed in $(seq "$seeds"); do
    [ -e $out/random-$seed.jsonl ] || run select -d $demo/pool --method random --chunk 120 \
        --share 0.125 --seed "$seed" -o $out/random-$seed.jsonl >/dev/null
    train model-random-$seed $out/random-$seed.jsonl "$seed"
    for domain in $domains; do
        [ -e $out/$domain/train.jsonl ] ||
            run split -d $demo/domain/$domain --chunk 120 --held-out 0.3 -o $out/$domain >/dev/null
        name=$domain-$seed
        [ -e $out/$name.jsonl ] || run select -d $demo/pool --target $out/$domain/train.jsonl \
            --method dsir --chunk 120 --min-words 90 --share 0.125 --seed "$seed" \
            -o $out/$name.jsonl >$out/$name.json 2>/dev/null
        train model-$name $out/$name.jsonl "$seed"
        echo "$domain $seed $(measure $out/model-random-$seed $out/$domain/held-out.jsonl)" \
            "$(measure $out/model-$name $out/$domain/held-out.jsonl)" \
            "$(number kl_reduction <$out/$name.json)" >>$table
        echo "seed $seed, $domain: $(tail -n 1 $table | cut -d ' ' -f 3-)" >&2
    done
done

{
    cat <<END
# Evidence

What the methods claim, tried here on real data. \`make evidence\` makes this page anew.

## select: dsir

Claim: text selected by importance resampling towards a sample of the domain trains a better model
for that domain than as much random text (Xie et al. 2023).

Set-up: a pool of about 1.6 MB from each of six Debian sources (scripts/demo-data.sh), cut to pieces
of 120 words and without duplicates; a sample of one source, from other files, as target; an eighth
of the pool selected. A decoder of 1.2 million parameters (3 layers, width 128, vocabulary 2048,
context 128) is trained for $steps updates of 1024 tokens on each selection and measured in bits per
byte on held-out text of the domain, from files of neither pool nor sample. $seeds seeds, which change
both selection and training.

| domain | random, mean (range) | dsir, mean (range) | change | better in | KL reduction |
|---|---|---|---|---|---|
END
    for domain in $domains; do
        awk -v d="$domain" '$1 == d { n++; r += $3; s += $4; k += $5; w += $4 < $3
            if (n == 1 || $3 < rl) rl = $3; if (n == 1 || $3 > rh) rh = $3
            if (n == 1 || $4 < sl) sl = $4; if (n == 1 || $4 > sh) sh = $4 }
            END { printf "| %s | %.3f (%.3f to %.3f) | %.3f (%.3f to %.3f) | %+.1f %% | %d of %d | %.3f |\n",
                d, r/n, rl, rh, s/n, sl, sh, 100 * (s/r - 1), w, n, k/n }' $table
    done
    echo
    awk '{ key = $1; n[key]++; w[key] += $4 < $3 } END { for (d in n) if (w[d] >= 0.8 * n[d]) good++
        printf "Better than random in at least 4 of 5 seeds on %d of %d domains.\n", good, length(n) }' \
        $table
    echo
    echo 'What tuning a real model gives and costs: [evidence-tuning.md](evidence-tuning.md).'
} >docs/evidence.md
echo "written: docs/evidence.md" >&2
