#!/bin/sh
# What tuning a real model on a domain gives and costs: writes docs/evidence-tuning.md. Results are
# kept on build/evidence/tuning, so an interrupted run goes on.
#
#   scripts/evidence-tuning.sh MODEL.gguf [SEEDS] [STEPS]
#
# EVIDENCE_TEXTS names a folder with wikitext2.test.txt.gz and lambada_test.jsonl.gz, to measure what
# is lost elsewhere; what is not there is left out.
set -eu
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || {
    echo 'usage: scripts/evidence-tuning.sh MODEL.gguf [SEEDS] [STEPS]' >&2
    exit 2
}
model=$1
seeds=${2:-2}
steps=${3:-60}
demo=build/demo
out=build/evidence/tuning
domains='perl foldoc'
part=60000 # bytes of each text elsewhere
export ADZE_LEDGER=$out/adze.sqlite

scripts/deps.sh --demo --install --quiet
scripts/demo-data.sh $demo
mkdir -p $out

also=
texts=${EVIDENCE_TEXTS:-}
if [ -n "$texts" ] && [ -e "$texts/wikitext2.test.txt.gz" ]; then
    gunzip -c "$texts/wikitext2.test.txt.gz" | dd bs=$part count=1 iflag=fullblock \
        of=$out/wikitext-2.txt 2>/dev/null
    also="$also --also=wikitext-2=$out/wikitext-2.txt"
fi
if [ -n "$texts" ] && [ -e "$texts/lambada_test.jsonl.gz" ]; then
    gunzip -c "$texts/lambada_test.jsonl.gz" | dd bs=$part count=1 iflag=fullblock 2>/dev/null |
        sed '$d' >$out/lambada.jsonl
    also="$also --also=lambada=$out/lambada.jsonl"
fi

table=$out/table.txt
: >$table
for domain in $domains; do
    for seed in $(seq "$seeds"); do
        # shellcheck disable=SC2086 # the list of texts is made of words
        build/adze adapt --base "$model" --domain $demo/domain/$domain --context 256 --batch 8 \
            --steps "$steps" --seed "$seed" $also -o $out/$domain-$seed --json \
            >$out/$domain-$seed.json 2>$out/$domain-$seed.log || {
            tail -n 1 $out/$domain-$seed.log >&2
            exit 1
        }
        python3 - $out/$domain-$seed.json $domain "$seed" >>$table <<'END'
import json, sys
result = json.load(open(sys.argv[1]))
for text in result["texts"]:
    print(sys.argv[2], sys.argv[3], text["name"], text["before"], text["after"])
END
        echo "$domain, seed $seed: done" >&2
    done
done

{
    cat <<END
# Evidence: tuning a real model

Written by \`scripts/evidence-tuning.sh MODEL\`, which runs \`adze adapt --base MODEL --domain TEXT\`.

Set-up: $(basename "$model"), tuned by adapters (rank 8 on all linear layers, the base stays in its
4-bit format) for $steps updates of 8 rows of 256 tokens on text of one Debian source
(scripts/demo-data.sh), folded in and re-quantized to the base's own format; bits per byte of the
shipped file, on text of the domain that was held out, and on the first $((part / 1000)) KB of texts
of other kinds. Means over $seeds seeds, which change the held-out part, the order and the adapters'
beginning; in brackets the range of the change.

| domain | measured on | before | after | change |
|---|---|---|---|---|
END
    for domain in $domains; do
        for text in domain wikitext-2 lambada; do
            awk -v d="$domain" -v t="$text" '$1 == d && $3 == t {
                    n++; b += $4; a += $5; c = 100 * ($5 / $4 - 1)
                    if (n == 1 || c < low) low = c; if (n == 1 || c > high) high = c }
                END { if (n) printf "| %s | %s | %.4f | %.4f | %+.1f %% (%+.1f to %+.1f) |\n",
                    d, t == "domain" ? "itself" : t, b/n, a/n, 100 * (a/b - 1), low, high }' $table
        done
    done
} >docs/evidence-tuning.md
echo "written: docs/evidence-tuning.md" >&2
