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
    print(sys.argv[2], sys.argv[3], text["name"], text["before"], text["after"],
          text.get("tuned", "-"))
END
        [ -e $out/$domain-$seed.gguf ] || build/adze export -m "$model" \
            --adapter $out/$domain-$seed/tuned -o $out/$domain-$seed.gguf -q
        own=$(build/adze perplexity -m $out/$domain-$seed.gguf -c 256 --json -q \
            -d $out/$domain-$seed/parts/domain/held-out.jsonl |
            sed -n 's/.*"bits_per_byte": *\([0-9.e+-]*\).*/\1/p' | head -n 1)
        echo "$domain $seed own - $own -" >>$table
        echo "$domain, seed $seed: done" >&2
    done
done

mean() { # DOMAIN TEXT COLUMN
    awk -v d="$1" -v t="$2" -v c="$3" '$1 == d && $3 == t { n++; s += $c }
        END { if (n) printf "%.4f", s / n }' $table
}

{
    cat <<END
# Evidence: tuning a real model

Written by \`scripts/evidence-tuning.sh MODEL\`, which runs \`adze adapt --base MODEL --domain TEXT\`.

Set-up: $(basename "$model"), tuned by adapters (rank 8 on all linear layers, the base stays in its
own format) for $steps updates of 8 rows of 256 tokens on text of one Debian source
(scripts/demo-data.sh), folded in and exported; bits per byte on text of the domain that was held out,
and on the first $((part / 1000)) KB of texts of other kinds. Means over $seeds seeds, which change the
held-out part, the order and the adapters' beginning; in brackets the range of the change.

| domain | measured on | before | in the new file | change |
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
    cat <<END

## What is tuned, and what is shipped

The same figures of the domain's held-out text: the base, the base with the adapters, and these folded
in and written in q8_0, which \`adapt\` chooses, and in the base's own formats, which \`export\` and
\`merge\` keep unless told otherwise.

| domain | base | with adapters | folded in, q8_0 | folded in, base's own |
|---|---|---|---|---|
END
    for domain in $domains; do
        echo "| $domain | $(mean $domain domain 4) | $(mean $domain domain 6) |" \
            "$(mean $domain domain 5) | $(mean $domain own 5) |"
    done
    cat <<END

The weights of a base in 4 bits stand on its grid already, and what adapters add is smaller than the
grid's steps: rounding to the same grid again gives nearly the base back. So a tuned model of such a
base wants q8_0, or its adapters beside it (\`chat --adapter\`, \`serve --adapter\`).
END
} >docs/evidence-tuning.md
echo "written: docs/evidence-tuning.md" >&2
