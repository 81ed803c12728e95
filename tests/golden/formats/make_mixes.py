#!/usr/bin/env python3
"""Makes mixes.txt of this directory: the formats that llama-quantize gives the tensors of two small
models in each of its mixes. A line is family, layers, mix, tensor and a digit for each layer: the
format's bits. In passing it checks that `adze shrink` makes the same bytes of every tensor.

    python3 make_mixes.py ADZE LLAMA_BIN

Needs the gguf package.
"""
import pathlib
import subprocess
import sys
import tempfile

from gguf import GGUFReader

HERE = pathlib.Path(__file__).resolve().parent
MIXES = ("q2_K", "q3_K_S", "q3_K_M", "q3_K_L", "q4_K_S", "q4_K_M", "q5_K_S", "q5_K_M", "q6_K")
LAYERS = 22


def run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def main():
    adze, programs = sys.argv[1], pathlib.Path(sys.argv[2])
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        ledger = ("--force", "--ledger", folder / "ledger.sqlite")
        for family, extra in (("llama", ["--kv-heads", 2, "--hidden", 512]), ("gpt2", [])):
            model, wide = folder / family, folder / f"{family}.gguf"
            run(adze, "train", "-d", HERE.parent.parent.parent / "src/base", "--family", family,
                "--width", 256, "--heads", 8, "--layers", LAYERS, "--context", 64, "--vocabulary",
                512, "--steps", 2, "-o", model, *extra, *ledger)
            run(adze, "convert", "-m", model, "-o", wide, *ledger)
            for mix in MIXES:
                ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
                run(adze, "shrink", "-m", model, "-f", mix, "-o", ours, *ledger)
                run(programs / "llama-quantize", wide, theirs, mix.upper())
                made = {t.name: t for t in GGUFReader(ours).tensors}
                digits = {}
                for tensor in GGUFReader(theirs).tensors:
                    if tensor.tensor_type != made[tensor.name].tensor_type or \
                            tensor.data.tobytes() != made[tensor.name].data.tobytes():
                        sys.exit(f"{family} {mix}: {tensor.name} differs")
                    if tensor.tensor_type.name.startswith("Q"):
                        name = tensor.name.split(".", 2)[-1] if "blk" in tensor.name else tensor.name
                        digits[name] = digits.get(name, "") + tensor.tensor_type.name[1]
                lines += [f"{family} {mix} {name} {text}" for name, text in digits.items()]
    (HERE / "mixes.txt").write_text("\n".join(lines) + "\n")


main()
