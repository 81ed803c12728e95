"""Measures adze beside its peers, in turns, and writes docs/performance.md.

The machines are noisy, so nothing is measured alone: both sides take turns, each turn of one is
divided by the turn of the other beside it, and the median of these ratios is reported with the
smallest and the largest. A turn during which other processes took more than 5 % of the machine is
made again, as long as the patience lasts; that is decided by the processor's own accounts, never by
the result. Results are kept in build/bench/results.json, so that sections can be measured one by
one.
"""
import argparse
import datetime
import glob
import gzip
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

import engine
import report
from turns import CORES, Quiet, Stepper, ratios, run_json, take_turns, watched

SECTIONS = ("gemm", "weights", "train", "lora", "engine", "tokenizer", "dsir", "program")
BUILD = "build/bench"
RESULTS = BUILD + "/results.json"
SIZES = {  # layers, width, heads, hidden, context, batch, vocabulary; sequences in 1024 tokens
    "1.5M": ("4 128 4 352 256 16 2816", 4),
    "16.9M": ("6 384 6 1024 256 16 8192", 4),
    "110M": ("12 768 12 2048 512 4 16384", 2),
}


def train_group(options, quiet, size, group, rounds):
    """One set of programs taking turns; group: {name: command}."""
    steppers = {}
    for name, command in group.items():
        steppers[name] = Stepper(command, options.threads)
        steppers[name].ready()
    quiet.pids = [stepper.process.pid for stepper in steppers.values()]
    times, note = take_turns(quiet, {name: s.step for name, s in steppers.items()}, rounds)
    quiet.pids = []
    summaries = {name: stepper.finish() for name, stepper in steppers.items()}
    for name, summary in summaries.items():
        summary["times"] = times[name]
    return summaries, note


def measure_train(options, quiet, results):
    for size, (shape, micro) in SIZES.items():
        if options.size and size not in options.size:
            continue

        def ours(kind):
            return [BUILD + "/bench_train_step", *shape.split(), kind, str(options.threads), "0"]

        def theirs(kind, *extra):
            return [options.python, "bench/peers/train_step.py", *shape.split(), kind,
                    str(options.threads), "0", *extra]

        f32, note_f32 = train_group(options, quiet, size, {
            "adze f32": ours("f32"), "PyTorch f32": theirs("f32"),
            "PyTorch f32 in parts": theirs("f32", str(micro)), "adze bf16": ours("bf16"),
        }, options.rounds)
        bf16, note_bf16 = train_group(options, quiet, size, {
            "adze bf16": ours("bf16"), "PyTorch bf16": theirs("bf16"),
            "PyTorch bf16 in parts": theirs("bf16", str(micro)),
        }, options.rounds)
        entry = {"shape": shape, "f32": f32, "bf16": bf16, "notes": [note_f32, note_bf16]}
        entry["ratios"] = {
            "f32": ratios(f32["PyTorch f32"]["times"], f32["adze f32"]["times"]),
            "f32 in parts": ratios(f32["PyTorch f32 in parts"]["times"],
                                   f32["adze f32"]["times"]),
            "bf16": ratios(bf16["PyTorch bf16"]["times"], bf16["adze bf16"]["times"]),
            "bf16 in parts": ratios(bf16["PyTorch bf16 in parts"]["times"],
                                    bf16["adze bf16"]["times"]),
            "own": ratios(f32["adze f32"]["times"], f32["adze bf16"]["times"]),
        }
        results.setdefault("train", {})[size] = entry
        print(size, json.dumps(entry["ratios"]), flush=True)
        save(results)


def measure_lora(options, quiet, results):
    """Tuning by adapters: rank 8 on all linear layers, 4 rows of 512 tokens. Both sides take the
    same model: adze from the 4-bit file and from one in bf16, peft from a folder of its values, and
    with all rows at once or, as adze does, with one after the other."""
    if not options.lora_model:
        results.pop("lora", None)
        print("lora: left out (--lora-model names no GGUF file)", flush=True)
        return
    folder, bf16 = BUILD + "/lora-model", BUILD + "/lora-model-bf16.gguf"
    quietly = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["build/adze", "convert", "-m", options.lora_model, "-o", folder, "--force",
                    "--no-verify"], **quietly)
    subprocess.run(["build/adze", "convert", "-m", folder, "-o", bf16, "-f", "bf16", "--force",
                    "--no-verify"], **quietly)

    def ours(model, kind):
        return [BUILD + "/bench_lora", model, kind, "8", "512", "4", "1", str(options.threads), "0"]

    def theirs(kind, micro):
        return [options.python, "bench/peers/lora.py", folder, kind, "8", "512", "4", micro,
                str(options.threads), "0"]

    sides, note = train_group(options, quiet, "lora", {
        "adze 4-bit base": ours(options.lora_model, "bf16"), "adze bf16 base": ours(bf16, "bf16"),
        "adze 4-bit base, f32": ours(options.lora_model, "f32"), "peft f32": theirs("f32", "4"),
        "peft bf16": theirs("bf16", "4"), "peft bf16 in parts": theirs("bf16", "1"),
    }, options.rounds)
    best = min((name for name in sides if name.startswith("peft")),
               key=lambda name: sides[name]["seconds"])
    results["lora"] = {
        "sides": sides, "note": note, "best": best,
        "ratios": {name: ratios(sides[best]["times"], sides[name]["times"])
                   for name in sides if name.startswith("adze")},
    }
    print("lora", best, json.dumps(results["lora"]["ratios"]), flush=True)


def measure_engine(options, quiet, results):
    engine.measure(options, quiet, results, BUILD, prepare_texts()[0], save)


def measure_gemm(options, quiet, results):
    quiet.wait()
    rows, share = quiet.watch(lambda: run_json(
        [BUILD + "/bench_gemm", str(options.threads), str(options.rounds)], options.threads))
    results["gemm"] = {"rows": rows, "others": share}


def measure_weights(options, quiet, results):
    quiet.wait()
    rows, share = quiet.watch(lambda: run_json(
        [BUILD + "/bench_weights", str(options.threads), str(options.rounds)], options.threads))
    results["weights"] = {"rows": rows, "others": share, "threads": options.threads}


def prepare_texts():
    """Debian's kernel documentation as JSON lines: all of it; a pool and a target for selection."""
    folders = sorted(glob.glob("/usr/share/doc/linux-doc-*/Documentation"))
    paths = sorted(glob.glob(folders[-1] + "/**/*.rst.gz", recursive=True)) if folders else []
    if not paths:
        sys.exit("the kernel's documentation is not there: apt-get install linux-doc")
    corpus, pool, target = BUILD + "/linux.jsonl", BUILD + "/pool.jsonl", BUILD + "/target.jsonl"
    size = 0
    with open(corpus, "w") as whole, open(pool, "w") as part, open(target, "w") as domain:
        for index, path in enumerate(paths):
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
                text = file.read()
            if not text.strip() or "\0" in text:
                continue
            line = json.dumps({"text": text}) + "\n"
            whole.write(line)
            if "/networking/" in path:
                domain.write(line)
            elif index % 2 == 0 and size < 10e6:
                part.write(line)
                size += len(line)
    return corpus, pool, target


def merges(path):
    with open(path, encoding="utf-8") as file:
        model = json.load(file)["model"]
    return [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge)
            for merge in model["merges"]]


def measure_tokenizer(options, quiet, results):
    corpus, _, _ = prepare_texts()
    vocabulary, entries = 8192, []
    for threads in sorted({1, options.threads}):
        ours, theirs = BUILD + "/ours.json", BUILD + "/theirs.json"
        tail = [corpus, str(vocabulary), str(threads)]
        times, note = take_turns(quiet, {
            "adze": watched([BUILD + "/bench_tokenizer", *tail, ours], threads),
            "tokenizers": watched([options.python, "bench/peers/tokenizer.py", *tail, theirs],
                                  threads),
        }, options.rounds)
        a, b = times["adze"], times["tokenizers"]
        entry = {"threads": threads, "note": note, "adze": a, "tokenizers": b,
                 "same_merges": merges(ours) == merges(theirs),
                 "same_count": a[0]["ids"] == b[0]["ids"]}
        for part in ("train", "encode"):
            key = part + "_seconds"
            entry[part] = ratios([row[key] for row in b], [row[key] for row in a])
        print("tokenizer", threads, entry["train"], entry["encode"], entry["same_merges"],
              entry["same_count"], flush=True)
        entries.append(entry)
    results["tokenizer"] = entries


def measure_dsir(options, quiet, results):
    _, pool, target = prepare_texts()
    tail = [pool, target, "200", "1"]
    times, note = take_turns(quiet, {
        "adze": watched([BUILD + "/bench_dsir", *tail, BUILD + "/chosen.jsonl"], 1),
        "reference": watched([options.python, "bench/peers/dsir.py", *tail, BUILD + "/dsir"], 1),
    }, min(options.rounds, 5))
    results["dsir"] = {**times, "note": note, "ratio": ratios(
        [row["seconds"] for row in times["reference"]], [row["seconds"] for row in times["adze"]])}
    print("dsir", results["dsir"]["ratio"], flush=True)


def measure_program(options, quiet, results):
    program, stripped, times = "build/adze", BUILD + "/adze.stripped", []
    for _ in range(21):
        begin = time.perf_counter()
        subprocess.run([program, "--help"], stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - begin)
    subprocess.run(["strip", "-o", stripped, program], check=True)
    results["program"] = {"help_seconds": statistics.median(times), "help_least": min(times),
                          "help_most": max(times), "bytes": os.path.getsize(stripped)}


def version_of(package):
    result = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return result.stdout if result.returncode == 0 else "not installed"


def describe_machine(options, results):
    with open("/proc/cpuinfo") as file:
        text = file.read()
    name = re.search(r"model name\s*: (.*)", text)
    numbers = [re.search(rf"{key}\s*: (\d+)", text) for key in ("cpu family", "model")]
    flags = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16")
             if re.search(rf"\b{flag}\b", text)]
    libraries = subprocess.run(
        [options.python, "-c", "import torch, tokenizers, numpy, platform; print(torch.__version__,"
         " tokenizers.__version__, numpy.__version__, platform.python_version())"],
        stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    compiler = subprocess.run(["cc", "--version"], stdout=subprocess.PIPE, text=True).stdout
    results["machine"] = {
        "date": datetime.date.today().isoformat(),
        "cpu": (name.group(1) if name else "unknown") + (
            f" (family {numbers[0].group(1)}, model {numbers[1].group(1)})" if all(numbers)
            else ""),
        "cores": CORES, "flags": flags, "threads": options.threads,
        "kernel": platform.release(), "compiler": compiler.splitlines()[0],
        "torch": libraries[0], "tokenizers": libraries[1], "numpy": libraries[2],
        "python": libraries[3], "onednn": version_of("libdnnl2"),
        "openblas": version_of("libopenblas0-pthread"),
    }


def save(results):
    with open(RESULTS + ".new", "w") as file:
        json.dump(results, file, indent=1)
    os.replace(RESULTS + ".new", RESULTS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="interpreter that has the peers")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="measure this section")
    parser.add_argument("--lora-model", help="lora, engine: a GGUF file with few bits")
    parser.add_argument("--llama", help="engine: a build folder of llama.cpp")
    parser.add_argument("--ik", help="engine: a build folder of ik_llama.cpp")
    parser.add_argument("--format", action="append", choices=engine.FORMATS,
                        help="engine: only this")
    parser.add_argument("--part", action="append", choices=engine.PARTS,
                        help="engine: only this")
    parser.add_argument("--size", action="append", choices=SIZES, help="train: only this size")
    parser.add_argument("--threads", type=int, default=CORES)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--patience", type=float, default=120,
                        help="seconds to wait for a quiet machine, per section")
    options = parser.parse_args()
    os.makedirs(BUILD, exist_ok=True)
    results = {}
    if os.path.exists(RESULTS):
        with open(RESULTS) as file:
            results = json.load(file)
    describe_machine(options, results)
    for section in options.only or SECTIONS:
        print("measuring", section, flush=True)
        globals()["measure_" + section](options, Quiet(options.patience), results)
        save(results)
    os.makedirs("docs", exist_ok=True)
    with open("docs/performance.md", "w") as file:
        file.write(report.render(results))


main()
