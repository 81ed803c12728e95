#!/bin/sh
# The main job in small, by steps and not by time, so that it is the same on every machine; its
# reuse, and its report in a real browser, figures read back.
. "$(dirname "$0")/common.sh"
make_domains
job="$adze adapt --domain domain --pool pool --also numbers=other --steps 200 --layers 1 --width 32
    --heads 2 --context 64 --vocabulary 400 --batch 4 -o out"
$job --json >result.json 2>log.txt || fail "$(cat log.txt)"
[ -s out/model.gguf ] && [ -s out/report.html ] || fail "no model or no report"
selected=$(number selected_bits_per_byte result.json)
random=$(number random_bits_per_byte result.json)
awk -v s="$selected" -v r="$random" 'BEGIN { exit !(s < r - 0.05) }' ||
    fail "selected text is no better: $selected, $random"
$job 2>again.txt || fail "again: $(cat again.txt)"
grep -q 'adapt: nothing has changed' again.txt || fail "it ran again: $(cat again.txt)"
tail -n 2 again.txt | tr '\n' ' ' | grep -q 'report: out/report.html model:  out/model.gguf' ||
    fail "reused, it does not name its results: $(cat again.txt)"

command -v chromium >/dev/null || fail "chromium is missing: scripts/deps.sh --tests --install"
chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$work/browser" \
    --dump-dom "file://$work/out/report.html" >dom.html 2>browser.txt || fail "$(tail browser.txt)"
figure() {
    sed -n "s/.*data-figure=\"$1\" data-value=\"\\([^\"]*\\)\".*/\\1/p" dom.html | head -n 1
}
same() {
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d * d < 1e-12) }'
}
same "$(figure trial.domain.selected)" "$selected" || fail "the page shows another figure"
same "$(figure trial.domain.random)" "$random" || fail "the page shows another figure"
for name in model.bits_per_byte model.file_bytes format.q8_0.bits_per_byte format.q4_0.megabytes \
    trial.numbers.selected trial.numbers.kl_reduction; do
    [ -n "$(figure $name)" ] || fail "the page lacks $name"
done
[ "$(grep -c '<polyline' dom.html)" -ge 4 ] || fail "the page lacks curves"
# its steps are called alike, by the domain's own name, and those without a record have no number
for step in "dsir text, your domain, seed 1" "random text, your domain, seed 1" \
    "dsir text, domain 'numbers', seed 1" "random text, domain 'numbers', seed 1"; do
    grep -qF "<td>comparison: $step</td>" dom.html || fail "no step '$step'"
done
grep -q "domain 'domain'" dom.html && fail "a domain called domain"
grep -q '<td>writing a sample</td><td>–</td>' dom.html || fail "a step without a record has a number"
# on a small screen tables scroll for themselves; curves stay within the plot
sed 's|</body>|<script>onload = () => {\
    const inside = [...document.querySelectorAll("polyline")].every(line => {\
        const box = line.getBBox(), plot = line.parentNode.viewBox.baseVal;\
        return box.y >= plot.y \&\& box.y + box.height <= plot.y + plot.height; });\
    document.title = "wide " + (document.documentElement.scrollWidth > innerWidth) +\
        ", inside " + inside; }</script></body>|' out/report.html >small.html
chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$work/browser" \
    --window-size=500,900 --dump-dom "file://$work/small.html" >small.txt 2>browser.txt || fail "$(tail browser.txt)"
grep -q '<title>wide false, inside true' small.txt ||
    fail "on a small screen: $(grep -o '<title>[^<]*' small.txt)"
same "$(figure model.file_bytes)" "$(wc -c <out/model.gguf)" || fail "wrong size of model.gguf"
