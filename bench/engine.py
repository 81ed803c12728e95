"""The generation engine beside llama.cpp and ik_llama.cpp, on the same files with the same threads.

A model of the Llama shape with 1.1e9 random parameters is made here and stored in several formats;
--lora-model names a real one beside it. The peers' programs measure themselves, loading left out.
"""
import json
import os
import statistics
import subprocess
import time

from turns import Stepper, environment, ratios, take_turns

PARTS = ("decode", "prefill", "batch", "first")
FORMATS = ("f16", "q8_0", "q4_0", "q4_K_M", "small")
PROMPT, MADE = 512, 64
REQUESTS, REQUEST_PROMPT, REQUEST_MADE = 16, 128, 32
PROMPTS, SORTED = 64, 8


def quietly(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def random_models(folder, corpus):
    """{format: path}, made where they are missing."""
    tokenizer, paths = folder + "/tokenizer-32000.json", {}
    ledger = ("--ledger", folder + "/ledger.sqlite", "--force")
    if not os.path.exists(tokenizer):
        quietly("build/adze", "tokenizer", "train", "-d", corpus, "-n", "32000", "-o", tokenizer,
                *ledger)
    for name in FORMATS[:-1]:
        paths[name] = f"{folder}/random-{name}.gguf"
        if os.path.exists(paths[name]):
            continue
        if name == "f16":
            quietly(folder + "/bench_random_model", tokenizer, paths[name])
        else:
            quietly("build/adze", "shrink", "-m", paths["f16"], "-f", name, "-o", paths[name],
                    *ledger)
    return paths


def bench_peer(folder, model, threads, prompt, made):
    """Seconds of one run of a peer's llama-bench."""
    output = subprocess.run(
        [folder + "/bin/llama-bench", "-m", model, "-t", str(threads), "-r", "1", "-o", "json",
         "-p", str(prompt), "-n", str(made)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return (prompt + made) / json.loads(output[output.index("["):])[0]["avg_ts"]


def batch_peer(folder, model, threads):
    """Seconds of llama.cpp's batched benchmark: prompts and generation of all requests."""
    output = subprocess.run(
        [folder + "/bin/llama-batched-bench", "-m", model, "-t", str(threads), "-c", "4096", "-b",
         "2048", "-npp", str(REQUEST_PROMPT), "-ntg", str(REQUEST_MADE), "-npl", str(REQUESTS),
         "--output-format", "jsonl"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")][-1]["t"]


def first_token(command, threads):
    """Seconds from the start of a program to its end after one token."""
    begin = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True, env=environment(threads))
    return time.perf_counter() - begin


def warm_load(path, threads):
    """Seconds to load a file that the system holds in memory: of five times, the first left out."""
    times = []
    for _ in range(5):
        output = subprocess.run(["build/bench/bench_engine", path, "int8", str(threads)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                check=True).stdout
        times.append(json.loads(output.splitlines()[0])["load_seconds"])
    return statistics.median(times[1:])


def measure_model(options, quiet, path):
    """One model: prefill, decode, many requests, plain reading, the first token."""
    threads = options.threads
    load = warm_load(path, threads)
    ours = Stepper(["build/bench/bench_engine", path, "int8", str(threads)], threads)
    ours.ready()
    quiet.pids = [ours.process.pid]
    ours.ask(f"prompts {PROMPT}")
    sides = {
        "prefill adze": lambda: ours.ask(f"prompts {PROMPT}")["seconds"],
        "read": lambda: ours.ask("read"),
        "decode adze": lambda: ours.ask(f"requests 1 1 {MADE + 1}"),
        "batch adze": lambda: ours.ask(
            f"requests {REQUESTS} {REQUEST_PROMPT} {REQUEST_MADE}")["seconds"],
        "first adze": lambda: first_token(
            ["build/adze", "generate", "-m", path, "-p", "Once upon a time", "-n", "1", "-t",
             str(threads), "-q"], threads),
    }
    for name, folder in (("llama.cpp", options.llama), ("ik_llama.cpp", options.ik)):
        if folder:
            sides["prefill " + name] = lambda folder=folder: bench_peer(
                folder, path, threads, PROMPT, 0)
            sides["decode " + name] = lambda folder=folder: bench_peer(
                folder, path, threads, 0, MADE)
    if options.llama:
        sides["batch llama.cpp"] = lambda: batch_peer(options.llama, path, threads)
        sides["first llama.cpp"] = lambda: first_token(
            [options.llama + "/bin/llama-completion", "-m", path, "-p", "Once upon a time", "-n",
             "1", "-t", str(threads), "-no-cnv", "--no-warmup"], threads)
    # Turns of one kind lie beside each other.
    order = {"read": 1, "decode": 0, "prefill": 2, "batch": 3, "first": 4}
    wanted = options.part or PARTS
    sides = {name: side for name, side in
             sorted(sides.items(), key=lambda item: order[item[0].split()[0]])
             if name.split()[0].replace("read", "decode") in wanted}
    times, note = take_turns(quiet, sides, min(options.rounds, 5))
    quiet.pids = []
    ours.finish()
    entry = {"times": times, "note": note, "load_seconds": load, "bytes": os.path.getsize(path),
             "ratios": {}}
    if "read" in times:
        reading = times.pop("read")
        # The first of the tokens comes from the prompt.
        times["decode adze"] = [turn["seconds"] - turn["first"] for turn in times["decode adze"]]
        entry["read_gb"] = [turn["gigabytes"] / turn["seconds"] for turn in reading]
        entry["read_share"] = statistics.median(
            turn["seconds"] / (seconds / MADE)
            for turn, seconds in zip(reading, times["decode adze"]))
    for kind in PARTS:
        for peer in ("llama.cpp", "ik_llama.cpp"):
            if f"{kind} {peer}" in times:
                entry["ratios"][f"{kind} {peer}"] = ratios(times[f"{kind} {peer}"],
                                                           times[f"{kind} adze"])
    return entry


def description_lengths(folder, model):
    """Tokens of PROMPTS descriptions of Debian's packages, picked evenly over those installed."""
    output = subprocess.run(["dpkg-query", "-W", "-f", "${Description}\x1e"],
                            stdout=subprocess.PIPE,
                            text=True, check=False).stdout
    texts = sorted({text.strip() for text in output.split("\x1e") if text.strip()})
    if len(texts) < PROMPTS:
        return []
    lengths = []
    for text in texts[::len(texts) // PROMPTS][:PROMPTS]:
        ids = subprocess.run(["build/adze", "tokenizer", "encode", "-m", model, "-p", text,
                              "--ledger", folder + "/ledger.sqlite"],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        lengths.append(max(1, len(ids.split())))
    return lengths


def measure_lengths(options, quiet, folder, model):
    """Prompts of mixed lengths: packed, padded to the longest, padded in groups sorted by length."""
    lengths = description_lengths(folder, model)
    if not lengths:
        return None
    ours = Stepper([folder + "/bench_engine", model, "int8", str(options.threads)],
                   options.threads)
    ours.ready()
    quiet.pids = [ours.process.pid]
    sorted_lengths = sorted(lengths, reverse=True)
    groups = [sorted_lengths[i:i + SORTED] for i in range(0, PROMPTS, SORTED)]

    def run(*batches):
        return sum(ours.ask("prompts " + ",".join(map(str, batch)))["seconds"]
                   for batch in batches)

    times, note = take_turns(quiet, {
        "packed": lambda: run(lengths),
        "padded": lambda: run([max(lengths)] * PROMPTS),
        "sorted": lambda: run(*([max(group)] * SORTED for group in groups)),
    }, min(options.rounds, 5))
    quiet.pids = []
    ours.finish()
    return {"times": times, "note": note, "tokens": sum(lengths), "longest": max(lengths),
            "ratios": {name: ratios(times[name], times["packed"])
                       for name in ("padded", "sorted")}}


def merged(earlier, entry):
    """What was measured before, with the parts that are new."""
    joined = {**earlier, **entry}
    for key in ("times", "ratios"):
        joined[key] = {**earlier[key], **entry[key]}
    joined["note"] = {key: count + earlier["note"][key] for key, count in entry["note"].items()}
    return joined


def measure(options, quiet, results, folder, corpus, save):
    paths = random_models(folder, corpus)
    if options.lora_model:
        paths["small"] = options.lora_model
    for name, path in paths.items():
        if options.format and name not in options.format:
            continue
        entry = measure_model(options, quiet, path)
        entry["name"] = name if name != "small" else os.path.basename(path).removesuffix(".gguf")
        earlier = results.setdefault("engine", {}).get(name) if options.part else None
        results["engine"][name] = merged(earlier, entry) if earlier else entry
        print(name, json.dumps(entry["ratios"]), flush=True)
        save(results)
    if "small" in paths and not options.part and (not options.format or "small" in options.format):
        results["lengths"] = measure_lengths(options, quiet, folder, paths["small"])
        print("lengths", json.dumps(results["lengths"] and results["lengths"]["ratios"]),
              flush=True)


def rate(tokens, seconds):
    return f"{tokens / statistics.median(seconds):.0f}" if tokens >= 0 else ""


def spread(entry, key):
    ratio = entry["ratios"].get(key)
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}..{ratio['max']:.2f})" if ratio else "-"


def rows_of(entries, kind, tokens):
    for entry in entries.values():
        times = entry["times"]
        row = [entry["name"], rate(tokens, times[kind + " adze"])]
        for peer in ("llama.cpp", "ik_llama.cpp"):
            key = f"{kind} {peer}"
            row += [rate(tokens, times[key]) if key in times else "-", spread(entry, key)]
        yield entry, row


def render(results, table):
    entries = results["engine"]
    text = ("## Generation\n\nThe same GGUF files, the same threads; command `scripts/bench.sh "
            "--only engine --llama BUILD --ik BUILD --lora-model FILE`. f16 to q4_K_M are a model "
            "of the Llama shape with 1.1e9 random parameters. Peers by their own `llama-bench`, "
            "in turns with adze; ratios above 1: adze is faster. Activations are rounded to 8 bits "
            "on all sides where weights are; adze multiplies f16 weights by whole prompts in "
            "bfloat16.\n\nDecoding one request, tokens/s; of reading: all that a token is "
            "multiplied with only read, by the same threads, beside each turn.\n\n")
    heads = ["llama.cpp", "ratio", "ik_llama.cpp", "ratio"]
    text += table(["model", "adze", *heads, "of reading", "reading GB/s"], [
        row + [f"{100 * entry['read_share']:.0f} %", f"{statistics.median(entry['read_gb']):.0f}"]
        for entry, row in rows_of(entries, "decode", MADE)])
    text += f"\nPrompts of {PROMPT} tokens, tokens/s:\n\n" + table(
        ["model", "adze", *heads],
        [row for _, row in rows_of(entries, "prefill", PROMPT)])
    text += (f"\n{REQUESTS} requests at once, each a prompt of {REQUEST_PROMPT} tokens and "
             f"{REQUEST_MADE} made, against `llama-batched-bench`; one token from the program's "
             "start to its end, against `llama-completion --no-warmup`; loading:\n\n")
    text += table(["model", "s adze", "s llama.cpp", "ratio", "first token s adze",
                   "s llama.cpp", "ratio", "file MB", "load s"], [
        [entry["name"], *cells(entry, "batch"), *cells(entry, "first"),
         f"{entry['bytes'] / 1e6:.0f}", f"{entry['load_seconds']:.3f}"]
        for entry in entries.values()])
    disturbed = sum(entry["note"]["disturbed"] for entry in entries.values())
    rounds = sum(entry["note"]["rounds"] for entry in entries.values())
    text += f"\nRounds: {rounds} in all, {disturbed} disturbed by other processes.\n"
    lengths = results.get("lengths")
    if lengths:
        text += (f"\nPrompts of mixed lengths ({PROMPTS} descriptions of Debian's packages, "
                 f"{lengths['tokens']} tokens, the longest {lengths['longest']}), the named model: "
                 f"packed {statistics.median(lengths['times']['packed']):.2f} s; all padded to the "
                 f"longest {spread(lengths, 'padded')} times as long; padded in groups of {SORTED} "
                 f"sorted by length {spread(lengths, 'sorted')}.\n")
    return text


def cells(entry, kind):
    times = entry["times"]
    theirs = times.get(kind + " llama.cpp")
    return [f"{statistics.median(times[kind + ' adze']):.2f}",
            f"{statistics.median(theirs):.2f}" if theirs else "-",
            spread(entry, kind + " llama.cpp")]
