# What the command-line tests share. Usage: . common.sh; the program is $1. Works in a fresh folder
# that is removed at the end.
set -u
adze=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export ADZE_LEDGER="$work/ledger.sqlite"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect CODE PATTERN COMMAND...: exit code, and one line on stderr that matches the pattern.
expect() {
    code=$1
    pattern=$2
    shift 2
    "$@" >out.txt 2>err.txt
    got=$?
    [ $got = "$code" ] || fail "$* ended with $got, not $code: $(cat err.txt)"
    grep -qE -e "$pattern" err.txt || fail "$* said: $(cat err.txt); wanted: $pattern"
    [ "$(grep -c '^adze: ' err.txt)" = 1 ] || [ "$code" = 0 ] || fail "$* said more than one line"
}

# start_server OPTIONS...: starts a server at a free port, what it says in server.txt; sets $server,
# $port and $url. A server that is left is killed at the end.
server=
start_server() {
    trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$work"' EXIT
    : >server.txt
    "$adze" serve --port 0 --threads 2 --alias tiny "$@" 2>server.txt &
    server=$!
    for i in $(seq 200); do
        port=$(sed -n 's|.*http://127.0.0.1:\([0-9]*\)/.*|\1|p' server.txt)
        [ -n "$port" ] && break
        kill -0 $server 2>/dev/null || fail "the server does not start: $(cat server.txt)"
        sleep 0.1
    done
    url=http://127.0.0.1:$port
}
stop_server() {
    kill -TERM $server
    wait $server || fail "the server ended with $?: $(cat server.txt)"
    server=
}

# The number behind "key" in a JSON file.
number() {
    sed -n "s/.*\"$1\": *\\([-0-9.e+]*\\).*/\\1/p" "$2" | head -n 1
}

# Text in which there is something to learn: sentences of a small grammar, N lines from a seed.
sentences() {
    awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed);
        split("the a one this that", d); split("cat dog house tree river stone", s);
        split("sees likes finds follows paints", v); split("quickly slowly often never", a);
        for (i = 0; i < n; i++) { printf "%s %s %s %s %s %s.\n", d[int(rand()*5)+1],
            s[int(rand()*6)+1], v[int(rand()*5)+1], d[int(rand()*5)+1], s[int(rand()*6)+1],
            a[int(rand()*4)+1]; if (i % 20 == 19) print "" } }'
}

# A small corpus in corpus/, 40 files.
make_corpus() {
    mkdir -p corpus
    for i in $(seq 40); do
        sentences 60 "$i" >"corpus/$i.txt"
    done
}

# For adapt: a pool of two kinds of text, a domain of either kind.
make_domains() {
    mkdir -p pool/words pool/numbers domain other
    for i in $(seq 60); do
        sentences 80 "$i" >"pool/words/$i.txt"
        seq -s ' ' $((i * 100)) $((i * 100 + 400)) | fold -s -w 70 >"pool/numbers/$i.txt"
    done
    for i in $(seq 30); do
        sentences 80 "$((i + 100))" >"domain/$i.txt"
        seq -s ' ' $((i * 90 + 7)) $((i * 90 + 400)) | fold -s -w 70 >"other/$i.txt"
    done
}

tiny="--layers 1 --width 32 --heads 2 --context 32 --batch 4 --vocabulary 300 --threads 2"
