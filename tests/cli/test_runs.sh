#!/bin/sh
# What is told about runs: two compared, and the page about one, which may be made again.
. "$(dirname "$0")/common.sh"
make_corpus
"$adze" split -d corpus --held-out 0.03 -o a -q || fail split
"$adze" split -d corpus --held-out 0.30000000000000004 -o b -q || fail split
"$adze" runs compare 1 2 >compare.txt || fail compare
grep -qE ' 0\.03 +0\.30000000000000004$' compare.txt || fail "numbers: $(cat compare.txt)"
grep -q ' $' compare.txt && fail "trailing blanks: $(cat -A compare.txt)"

"$adze" report 1 -q || fail report
cp report.html first.html
"$adze" report 2 -q || fail "a report cannot be made again"
cmp -s report.html first.html && fail "the report is that of the other run"
grep -q 'run 2' report.html || fail "not the report of run 2"
expect 1 'there is no run 99' "$adze" report 99
echo '<html>mine</html>' >report.html
expect 2 'already exists; --force' "$adze" report 1
expect 1 'there is no run 99' "$adze" report 99
grep -qx '<html>mine</html>' report.html || fail "another's page is overwritten"
"$adze" report 1 --force -q && cmp report.html first.html || fail "--force does not overwrite"
