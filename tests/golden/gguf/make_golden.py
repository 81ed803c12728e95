#!/usr/bin/env python3
"""Makes the models and figures of this directory: two small models trained by adze, llama.cpp's
perplexity of each in every format that adze writes, llama.cpp's tokens of the text, and hashes of
the blocks that llama-quantize makes of the same values. Needs a build of llama.cpp and the gguf
package from its tree.

    python3 make_golden.py ADZE LLAMA_BIN [--keep-models]

ADZE is build/adze, LLAMA_BIN the folder of llama-perplexity, llama-tokenize and llama-quantize.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent.parent
FORMATS = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1")
CONTEXT = 128
TEXT_BYTES = 12000


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout + done.stderr


def train(adze, family, folder):
    extra = ["--tied", "--kv-heads", 2, "--hidden", 128] if family == "llama" else []
    run(adze, "train", "-d", TREE / "src", "--family", family, "--width", 64, "--heads", 4,
        "--layers", 2, "--context", CONTEXT, "--vocabulary", 512, "--steps", 400, "--force",
        "--ledger", folder / "ledger.sqlite", "-o", folder / family, *extra)
    run(adze, "convert", "-m", folder / family, "-f", "f16", "--force", "--ledger",
        folder / "ledger.sqlite", "-o", HERE / f"{family}.gguf")


def write_formats(adze, family, folder):
    """The stored model, widened to f32, in each format: {format: path}."""
    ledger = ["--force", "--ledger", folder / "ledger.sqlite"]
    wide = folder / f"{family}-wide"
    run(adze, "convert", "-m", HERE / f"{family}.gguf", "-o", wide, *ledger)
    paths = {name: folder / f"{family}-{name}.gguf" for name in FORMATS}
    for name, path in paths.items():
        if name.startswith("q"):
            run(adze, "shrink", "-m", wide, "-f", name, "--table-format", name, "-o", path, *ledger)
        else:
            run(adze, "convert", "-m", wide, "-f", name, "-o", path, *ledger)
    return paths


def perplexity(programs, path, context=CONTEXT, text=HERE / "text.txt"):
    """llama.cpp scores the second half of each window, and puts no token before it in our files."""
    for _ in range(20):  # under load, its last lines are sometimes lost as it ends
        output = run(programs / "llama-perplexity", "-m", path, "-f", text, "-c", context,
                     "-t", 2)
        found = re.search(r"Final estimate: PPL = ([0-9.]+)", output)
        if found:
            return float(found.group(1))
    sys.exit(f"{path}: no perplexity in:\n{output[-2000:]}")


def tokens(programs, path):
    output = run(programs / "llama-tokenize", "-m", path, "-f", HERE / "text.txt", "--ids",
                 "--log-disable")
    return json.loads(re.search(r"\[[0-9, ]+\]", output).group(0))


def block_hashes(programs, source, name, folder):
    from gguf import GGUFReader

    path = folder / "quantized.gguf"
    run(programs / "llama-quantize", "--pure", source, path, name)
    return {tensor.name: hashlib.sha256(tensor.data.tobytes()).hexdigest()
            for tensor in GGUFReader(path).tensors if tensor.tensor_type.name.lower() == name}


def main():
    adze, programs = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    kept = sys.argv[3:] == ["--keep-models"]
    text = "".join((TREE / "docs" / name).read_text() for name in ("architecture.md", "formats.md"))
    text = text.encode()[:TEXT_BYTES].decode(errors="ignore").rstrip()
    (HERE / "text.txt").write_text(text)
    figures = {"context": CONTEXT, "models": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for family in ("llama", "gpt2"):
            if not kept:
                train(adze, family, folder)
            paths = write_formats(adze, family, folder)
            figures["models"][family] = {
                "perplexity": {name: perplexity(programs, path) for name, path in paths.items()},
                "blocks": {name: block_hashes(programs, paths["f32"], name, folder)
                           for name in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1")},
            }
            ids = tokens(programs, paths["f32"])
            if figures.setdefault("tokens", ids) != ids:
                sys.exit("the tokenizers differ")
            print(family, figures["models"][family]["perplexity"],
                  len(ids), "tokens")
    (HERE / "figures.json").write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
