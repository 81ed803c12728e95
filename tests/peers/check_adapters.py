"""llama.cpp with the GGUF adapters that adze writes: the model into which llama-export-lora folds
one is, to adze, the base with the adapter; and llama-perplexity finds the base with the adapter as
good as the model that adze merged."""
import json
import pathlib
import re
import subprocess
import sys

import common

TOLERANCE = 0.005
TEXT = "docs/formats.md"


def adze(build, *arguments):
    output = subprocess.run([build / "adze", *arguments, "--json", "--quiet"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def loss(build, model, *more):
    return adze(build, "perplexity", "-m", model, "-d", TEXT, "-c", "64", "--precision", "f32",
                *more)["loss"]


def llama_perplexity(programs, model, *more):
    for _ in range(20):  # under load, its last lines are sometimes lost as it ends
        output = subprocess.run([programs / "llama-perplexity", "-m", model, "-f", TEXT, "-c",
                                 "64", *more], check=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True).stdout
        found = re.search(r"PPL = ([0-9.]+)", output)
        if found:
            return float(found.group(1))
    sys.exit(f"{model}: no perplexity in:\n{output[-2000:]}")


def main():
    build, work, programs = map(pathlib.Path, sys.argv[1:4])
    golden = common.script("tests/golden/gguf/make_golden.py")
    fine = True
    for family in ("llama", "gpt2"):
        base = golden.write_formats(build / "adze", family, work)["f32"]
        adapter, merged, theirs = (work / f"{family}-{name}"
                                   for name in ("adapter", "merged.gguf", "theirs.gguf"))
        adze(build, "tune", "-m", base, "-d", TEXT, "--steps", "20", "--held-out", "0", "-c", "64",
             "--rate", "0.01", "-o", adapter)
        adze(build, "merge", "-m", base, "-a", adapter, "-o", merged)
        subprocess.run([programs / "llama-export-lora", "-m", base, "--lora",
                        adapter / "adapter.gguf", "-o", theirs], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, attached = loss(build, base), loss(build, base, "--adapter", adapter)
        exported = loss(build, theirs)
        print(f"{family}: loss {before:.4f}, with the adapter {attached:.4f}, folded in by "
              f"llama.cpp {exported:.4f}")
        fine &= abs(attached - before) > 0.05 and abs(exported - attached) < 0.002
        on_top = llama_perplexity(programs, base, "--lora", adapter / "adapter.gguf")
        inside = llama_perplexity(programs, merged)
        print(f"{family}: llama.cpp's perplexity with the adapter {on_top:.3f}, merged by adze "
              f"{inside:.3f}")
        fine &= abs(on_top / inside - 1) < TOLERANCE
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
