"""llama.cpp against adze on files that adze writes: the perplexity of a trained model in every format,
and of a small random model of every family; of encoders the embedding, by `adze embed`; of a model
that is named the perplexity by `adze perplexity`, activations in 8 bits on both sides."""
import json
import pathlib
import sys

import numpy

import common

TOLERANCE = 0.005
REAL_TOLERANCE = 0.003
VOCABULARY = 512


def second_half_perplexity(build, path, tokens, context, vocabulary):
    nats, count = 0.0, 0
    for begin in range(0, len(tokens) - context + 1, context):
        window = numpy.array(tokens[begin:begin + context])
        values = common.logits(build, path, window, vocabulary).astype(numpy.float64)
        scored = numpy.arange(context // 2, context - 1)
        rows = values[scored]
        top = rows.max(axis=1)
        sums = top + numpy.log(numpy.exp(rows - top[:, None]).sum(axis=1))
        nats += (sums - rows[numpy.arange(len(scored)), window[scored + 1]]).sum()
        count += len(scored)
    return float(numpy.exp(nats / count))


def check_formats(build, programs, work):
    golden = common.script("tests/golden/gguf/make_golden.py")
    fine = True
    for family in ("llama", "gpt2"):
        paths = golden.write_formats(build / "adze", family, work)
        tokens = golden.tokens(programs, paths["f32"])
        for name, path in paths.items():
            want = golden.perplexity(programs, path)
            got = second_half_perplexity(build, path, tokens, golden.CONTEXT, VOCABULARY)
            print(f"{family} {name}: adze {got:.4f}, llama.cpp {want:.4f}")
            fine &= abs(got / want - 1) < TOLERANCE
    return fine


def check_embedding(build, golden, path, want, work):
    line = common.run(build / "adze", "embed", "-m", path, "-p", golden.embedded_text(),
                      "--precision", "f32", "--ledger", work / "ledger.sqlite")
    got = json.loads(line)["embedding"]
    worst = max(abs(a - b) for a, b in zip(got, want, strict=True))
    print(f"{path.stem}: embeddings differ by {worst:.2g}")
    return worst < TOLERANCE


def check_families(build, programs, work):
    golden = common.script("tests/golden/families/make_golden.py")
    fine = True
    for name in golden.names():
        path = golden.write_gguf(build / "adze", name, work)
        if not path:
            print(f"{name}: GGUF has no place for it")
            continue
        want = golden.figure(programs, name, path)
        if golden.is_encoder(name):
            fine &= check_embedding(build, golden, path, want, work)
            continue
        got = second_half_perplexity(build, path, golden.tokens(), golden.CONTEXT,
                                     golden.VOCABULARY)
        print(f"{name}: adze {got:.4f}, llama.cpp {want:.4f}")
        fine &= abs(got / want - 1) < TOLERANCE
    return fine


def check_real(build, programs, work, path):
    """On all pages of docs, as rounding moves the perplexity of a short text by half a percent."""
    golden = common.script("tests/golden/gguf/make_golden.py")
    text = work / "pages.txt"
    text.write_text("".join(page.read_text() for page in sorted(common.TREE.glob("docs/*.md"))))
    want = golden.perplexity(programs, path, 512, text)
    line = common.run(build / "adze", "perplexity", "-m", path, "-d", text, "--second-half",
                      "-c", 512, "--json", "--ledger", work / "ledger.sqlite")
    got = json.loads(line)["perplexity"]
    print(f"{path.name}: adze {got:.4f}, llama.cpp {want:.4f}")
    return abs(got / want - 1) < REAL_TOLERANCE


def main():
    build, work, programs = map(pathlib.Path, sys.argv[1:4])
    fine = check_families(build, programs, work)
    fine &= check_formats(build, programs, work)
    if len(sys.argv) > 4:
        fine &= check_real(build, programs, work, pathlib.Path(sys.argv[4]))
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
