#!/bin/sh
# Memory does not grow with the corpus: four times the text takes hardly more.
. "$(dirname "$0")/common.sh"
sentences 4000 1 >line.txt
document=$(tr '\n' ' ' <line.txt | cut -c1-20000)
for i in $(seq 400); do
    printf '{"text": "%s %s"}\n' "$i" "$document"
done >part.jsonl
copies() { for i in $(seq "$1"); do sed "s/\"text\": \"/&$i /" part.jsonl; done; }
copies 5 >small.jsonl # 40 MB, more than is read at a time
copies 20 >large.jsonl

# The most memory of its own that a command has had, in KiB, looked up while it runs; files that are
# mapped do not count.
peak() {
    "$@" >/dev/null 2>err.txt &
    process=$!
    most=0
    while [ -e /proc/$process/status ]; do
        now=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' /proc/$process/status 2>/dev/null)
        [ "${now:-0}" -le $most ] || most=$now
        kill -0 $process 2>/dev/null || break
    done
    wait $process || fail "$*: $(cat err.txt)"
    echo $most
}
for work in 'split -d CORPUS --chunk 120 -o parts-CORPUS.out' 'tokenizer train -d CORPUS -n 400 -o t-CORPUS.json' \
    'select --pool CORPUS --target line.txt --chunk 120 -n 50 -o chosen-CORPUS.out'; do
    small=$(peak "$adze" $(echo "$work" | sed 's/CORPUS/small.jsonl/g')) || fail "$small"
    large=$(peak "$adze" $(echo "$work" | sed 's/CORPUS/large.jsonl/g')) || fail "$large"
    # 120 MB more of text; a few bytes a document are allowed
    [ "$large" -lt $((small + 12000)) ] || fail "$work: $small KiB, four times the text $large KiB"
done
