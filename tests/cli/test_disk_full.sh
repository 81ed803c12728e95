#!/bin/sh
# No space left: a clear line, and the old file stays. Needs a small file system, which only root
# can mount; skipped otherwise.
. "$(dirname "$0")/common.sh"
make_corpus
mkdir small
mount -t tmpfs -o size=300k none small 2>/dev/null || {
    echo "skipped: no small file system can be mounted here"
    exit 77
}
trap 'umount "$work/small"; rm -rf "$work"' EXIT
"$adze" tokenizer train -d corpus -n 400 -o small/t.json -q || fail "a small file does not fit"
cp small/t.json before.json
cat /dev/zero >small/filler 2>/dev/null
expect 1 "small/t.json.*No space left" "$adze" tokenizer train -d corpus -n 400 -o small/t.json --force
cmp before.json small/t.json || fail "the old file is gone"
[ "$(ls small)" = "$(printf 'filler\nt.json')" ] || fail "rubbish is left: $(ls small)"
expect 1 "No space left" "$adze" train -d corpus $tiny --steps 3 -o small/model
