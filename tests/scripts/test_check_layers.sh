#!/bin/sh
# The include check passes on this tree, and finds each kind of violation in a tree made for it.
#   test_check_layers.sh ROOT
set -eu
root=$1
"$root/scripts/check-layers.sh" "$root"

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir -p "$made/include" "$made/src/base" "$made/src/tensor" "$made/src/cli" "$made/src/attic"
: >"$made/src/base/error.h"
: >"$made/src/tensor/tape.h"
: >"$made/src/tensor/ops.h"
printf '#include <stdio.h>\n' >"$made/include/adze.h"
printf '#include <stdio.h>\n#include "base/error.h"\n#include "tensor/tape.h"\n' \
    >"$made/src/tensor/tape.c"
printf '#include "adze.h"\n#include "tensor/tape.h"\n' >"$made/src/cli/main.c"
if ! "$root/scripts/check-layers.sh" "$made"; then
    echo "a tree without the attic must pass" >&2
    exit 1
fi

: >"$made/src/attic/old.h"
printf '#include "tensor/tape.h"\n\n  #  include "error.h"\n' >"$made/src/base/error.c"
printf '#include <tensor/tape.h>\n#include "tensor/gone.h"\n#include "adze.h"\n' \
    >"$made/src/tensor/ops.c"
printf '#include "base/error.h"\n' >"$made/include/adze.h"
printf 'int x;\n' >"$made/src/attic/old.c"
if "$root/scripts/check-layers.sh" "$made" >"$made/found"; then
    echo "violations were not found" >&2
    exit 1
fi
cut -d: -f1,2 "$made/found" >"$made/places"
cat >"$made/expected" <<END
include/adze.h:1
src/attic/old.c:1
src/base/error.c:1
src/base/error.c:3
src/tensor/ops.c:1
src/tensor/ops.c:2
src/tensor/ops.c:3
END
diff "$made/expected" "$made/places"
