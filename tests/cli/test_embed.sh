#!/bin/sh
# `adze embed` gives the vectors that transformers gives, of a small BERT in a folder and in GGUF,
# from -p, a file and standard input. With ADZE_MINILM, the folder of all-MiniLM-L6-v2, of that, too.
. "$(dirname "$0")/common.sh"

golden=$here/../golden/embeddings

# texts TSV: the texts of a golden file, a line each.
texts() {
    awk -F '\t' '$1 != "cosine" { print $3 }' "$1"
}

# compare TSV VECTORS TOLERANCE: lines of JSON against tokens, values and cosines.
compare() {
    awk -F '\t' -v tolerance="$3" -v vectors="$2" '
        function wrong(what) { print what; bad = 1 }
        $1 == "cosine" {
            split($3, pair, " "); sum = 0
            for (i = 1; i <= width; i++) sum += v[pair[1], i] * v[pair[2], i]
            if (sum - $2 > tolerance || $2 - sum > tolerance) wrong("cosine of " $3 " is " sum)
            next
        }
        {
            if ((getline line <vectors) <= 0) { wrong("no vector for " $3); exit }
            tokens = line; sub(/.*"tokens":/, "", tokens); sub(/[^0-9].*/, "", tokens)
            if (tokens != $1) wrong(tokens " tokens, not " $1 ": " $3)
            sub(/.*\[/, "", line); sub(/\].*/, "", line)
            width = split(line, got, ","); count = split($2, want, " "); square = 0
            if (count < 8 || width < count) wrong(width " values: " $3)
            for (i = 1; i <= width; i++) { v[NR, i] = got[i]; square += got[i] * got[i] }
            for (i = 1; i <= count; i++)
                if (got[i] - want[i] > tolerance || want[i] - got[i] > tolerance)
                    wrong("value " i " is " got[i] ", not " want[i] ": " $3)
            if (square < 0.99999 || square > 1.00001) wrong("length " square ": " $3)
            compared++
        }
        END { if (!compared) wrong("nothing compared"); exit bad }' "$1" || fail "$2 differs from $1"
}

# try MODEL TSV TOLERANCE
try() {
    texts "$2" >texts.txt
    "$adze" embed -m "$1" -d texts.txt --precision f32 >vectors.jsonl || fail "embed -m $1"
    compare "$2" vectors.jsonl "$3"
    "$adze" embed -m "$1" -d - --precision f32 <texts.txt | cmp -s - vectors.jsonl ||
        fail "standard input gave other vectors"
    "$adze" convert -m "$1" -o "$work/x.gguf" --force 2>err.txt || fail "convert: $(cat err.txt)"
    "$adze" embed -m "$work/x.gguf" -d texts.txt --precision f32 >through.jsonl
    compare "$2" through.jsonl "$3"
}

try "$golden" "$golden/expected.tsv" 1e-5
sed -n 3p "$golden/expected.tsv" >one.tsv
"$adze" embed -m "$golden" -p "$(texts one.tsv)" --precision f32 >one.jsonl
compare one.tsv one.jsonl 1e-5
"$adze" shrink -m "$golden" -f q8_0 -o q8.gguf 2>err.txt || fail "shrink: $(cat err.txt)"
"$adze" embed -m q8.gguf -d texts.txt --precision f32 >q8.jsonl 2>err.txt
compare "$golden/expected.tsv" q8.jsonl 0.05
yes the | head -n 70 | tr '\n' ' ' >long.txt
expect 1 'text of 72 tokens cannot be embedded: from 1 to 64' "$adze" embed -m "$golden" \
    -p "$(cat long.txt)"

[ -z "${ADZE_MINILM:-}" ] || try "$ADZE_MINILM" "$golden/minilm.tsv" 2e-6
