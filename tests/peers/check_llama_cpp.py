"""llama.cpp's perplexity of files that adze writes, in every format, against adze's own."""
import pathlib
import sys

import numpy

import common

TOLERANCE = 0.005
VOCABULARY = 512


def second_half_perplexity(build, path, tokens, context):
    nats, count = 0.0, 0
    for begin in range(0, len(tokens) - context + 1, context):
        window = numpy.array(tokens[begin:begin + context])
        values = common.logits(build, path, window, VOCABULARY).astype(numpy.float64)
        scored = numpy.arange(context // 2, context - 1)
        rows = values[scored]
        top = rows.max(axis=1)
        sums = top + numpy.log(numpy.exp(rows - top[:, None]).sum(axis=1))
        nats += (sums - rows[numpy.arange(len(scored)), window[scored + 1]]).sum()
        count += len(scored)
    return float(numpy.exp(nats / count))


def main():
    build, programs, work = map(pathlib.Path, sys.argv[1:4])
    golden = common.script("tests/golden/gguf/make_golden.py")
    fine = True
    for family in ("llama", "gpt2"):
        paths = golden.write_formats(build / "adze", family, work)
        tokens = golden.tokens(programs, paths["f32"])
        for name, path in paths.items():
            want = golden.perplexity(programs, path)
            got = second_half_perplexity(build, path, tokens, golden.CONTEXT)
            print(f"{family} {name}: adze {got:.4f}, llama.cpp {want:.4f}")
            fine &= abs(got / want - 1) < TOLERANCE
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
