"""Writes what bench/run.py measured, and bench/notes.md, as docs/performance.md."""
import os
import statistics

import engine


def spread(ratio):
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}..{ratio['max']:.2f})"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |"
                              for row in rows]) + "\n"


def median_of(rows, key):
    return statistics.median(row[key] for row in rows)


def machine(results):
    m = results["machine"]
    return (f"Measured on {m['date']}: {m['cpu']}, {m['cores']} cores, {m['threads']} threads "
            f"({', '.join(m['flags'])}), Linux {m['kernel']}, {m['compiler']}; "
            f"PyTorch {m['torch']}, tokenizers {m['tokenizers']}, numpy {m['numpy']}, "
            f"Python {m['python']}, oneDNN {m['onednn']}, OpenBLAS {m['openblas']}.\n")


def best_product(results, side):
    rows = results.get("gemm", {}).get("rows", [])
    return max((row[side] for row in rows if side in row), default=0.0)


def gemm(results):
    rows = results["gemm"]["rows"]
    sides = [side for side in ("adze_f32", "onednn_f32", "openblas_f32", "adze_bf16",
                               "onednn_bf16") if any(side in row for row in rows)]
    missing = {"onednn_f32": "oneDNN", "openblas_f32": "OpenBLAS"}
    words = [name for side, name in missing.items() if side not in sides]
    text = ("## Matrix products\n\nGFLOP/s, medians; command `scripts/bench.sh --only gemm`. In "
            "bf16 adze rounds f32 operands as it multiplies; oneDNN is handed bf16 operands.\n")
    if words:
        text += f"Not found on this machine, and left out: {', '.join(words)}.\n"
    text += "\n" + table(
        ["M x N x K", "form"] + [side.replace("_", " ") for side in sides],
        [[f"{row['m']} x {row['n']} x {row['k']}", row["form"]] +
         [f"{row[side]:.0f}" if side in row else "-" for side in sides] for row in rows])
    pairs = [("adze_f32", "onednn_f32"), ("adze_f32", "openblas_f32"),
             ("adze_bf16", "onednn_bf16")]
    lines = []
    for ours, theirs in pairs:
        values = [row[ours] / row[theirs] for row in rows if ours in row and theirs in row]
        if values:
            lines.append([ours.replace("_", " "), theirs.replace("_", " "), spread(
                {"median": statistics.median(values), "min": min(values), "max": max(values)})])
    share = results["gemm"]["others"]
    return text + "\n" + table(["side", "against", "ratio over the shapes"], lines) + (
        f"\nOther processes took {100 * share:.0f} % of the machine meanwhile.\n")


def weights(results):
    entry = results["weights"]
    rows = [[row["format"], f"{row['decode_gb']:.1f}", f"{100 * row['decode_share']:.0f} %",
             f"{row['prefill_gop']:.0f}",
             f"{100 * row['prefill_share']:.0f} %" if row["peak_gop"] else "-",
             f"{row['input_gradient_gop']:.0f}"] for row in entry["rows"]]
    read = statistics.median(row["read_gb"] for row in entry["rows"])
    peak = statistics.median(row["peak_gop"] for row in entry["rows"])
    text = ("## Products over stored weights\n\nA matrix of 5632 x 2048 with activations rounded to "
            "8 bits (`--precision int8`), medians; command `scripts/bench.sh --only weights`. Decode "
            "is one row of activations over weights that no cache holds, in GB of weights a second, "
            f"beside plain reading ({read:.1f} GB/s); prefill 512 rows, in 1e9 operations a second, "
            f"beside the peak of products of bytes ({peak:.0f}); f16 and bf16 multiply in bfloat16 "
            "there. The gradient of the input is made in f32.\n\n")
    return text + table(["format", "decode GB/s", "of reading", "prefill GOP/s", "of the peak",
                         "input gradient GOP/s"], rows) + (
        f"\n{entry['threads']} threads. Other processes took {100 * entry['others']:.0f} % of the "
        "machine meanwhile.\n")


def train_rows(size, entry):
    for kind in ("f32", "bf16"):
        ours, theirs = entry[kind]["adze " + kind], entry[kind]["PyTorch " + kind]
        parts = entry[kind][f"PyTorch {kind} in parts"]
        yield [size, kind, f"{statistics.median(ours['times']):.3f}",
               f"{statistics.median(theirs['times']):.3f}", spread(entry["ratios"][kind]),
               f"{statistics.median(parts['times']):.3f}",
               spread(entry["ratios"][kind + " in parts"]), f"{ours['peak_mib']:.0f}",
               f"{theirs['peak_mib']:.0f}", f"{parts['peak_mib']:.0f}"]


def rate_rows(results):
    for size, entry in results["train"].items():
        for kind in ("f32", "bf16"):
            ours = entry[kind]["adze " + kind]
            flops = ours["gflops"] * ours["seconds"]
            rate = flops / statistics.median(ours["times"])
            own = ours[f"best_{kind}_product_gflops"]
            best = max(own, best_product(results, "onednn_" + kind))
            yield [size, kind, f"{rate:.0f}", f"{own:.0f}", f"{100 * rate / own:.0f} %",
                   f"{best:.0f}", f"{100 * rate / best:.0f} %"]


def train(results):
    entries = results["train"]
    text = ("## Training step\n\nForward, backward, clipping and AdamW; seconds, medians; command "
            "`scripts/bench.sh --only train`. PyTorch is eager, with scaled_dot_product_attention "
            "and fused AdamW, given the whole batch at once; \"in parts\" it accumulates the "
            "gradient over parts of 1024 tokens, as adze does. Memory is the process's peak in "
            "MiB.\n\n")
    text += table(["size", "type", "adze s", "PyTorch s", "ratio", "in parts s", "ratio",
                   "adze MiB", "PyTorch MiB", "in parts MiB"],
                  [row for size, entry in entries.items() for row in train_rows(size, entry)])
    text += "\nbf16 against f32, adze alone:\n\n" + table(
        ["size", "ratio"], [[size, spread(entry["ratios"]["own"])]
                            for size, entry in entries.items()])
    text += ("\nGFLOP/s of the whole step, beside the best rate of a matrix product of the same "
             "shapes timed between the steps, and beside the best that oneDNN reached on any "
             "shape above:\n\n")
    text += table(["size", "type", "step", "best own product", "share", "best of all", "share"],
                  rate_rows(results))
    notes = [note for entry in entries.values() for note in entry["notes"]]
    return text + (f"\nRounds: {min(n['rounds'] for n in notes)} or more each, "
                   f"{sum(n['rounds'] for n in notes)} in all; "
                   f"{sum(n['disturbed'] for n in notes)} of these were disturbed by other "
                   f"processes.\n\nShapes (layers, width, heads, hidden, context, batch, "
                   "vocabulary): " + "; ".join(f"{size}: {entry['shape']}"
                                               for size, entry in entries.items()) + ".\n")


def lora(results):
    entry = results["lora"]
    least = entry["sides"][entry["best"]]["peak_mebibytes"]
    rows = []
    for name, side in entry["sides"].items():
        ratio = entry["ratios"].get(name)
        rows.append([name, f"{side['tokens_per_second']:.0f}", f"{side['peak_mebibytes']:.0f}",
                     spread(ratio) if ratio else "", f"{side['peak_mebibytes'] / least:.2f}"])
    return ("## Tuning by adapters\n\nLoRA of rank 8 on all linear layers, 4 rows of 512 tokens; "
            f"ratios to {entry['best']}, the fastest of peft's; in parts: row by row, as adze does.\n\n"
            + table(["", "tokens/s", "peak MiB", "times as fast", "of its memory"], rows))


def tokenizer(results):
    rows = []
    for entry in results["tokenizer"]:
        ours, theirs = entry["adze"], entry["tokenizers"]
        for part in ("train", "encode"):
            key, size = part + "_seconds", ours[0]["megabytes"]
            rows.append([part, entry["threads"], f"{size / median_of(ours, key):.1f}",
                         f"{size / median_of(theirs, key):.1f}", spread(entry[part])])
        size = ours[0]["megabytes"]
        rows.append(["count words alone", entry["threads"],
                     f"{size / median_of(ours, 'count_seconds'):.1f}", "-", "-"])
    same = all(entry["same_merges"] and entry["same_count"] for entry in results["tokenizer"])
    first = results["tokenizer"][0]["adze"][0]
    return ("## Tokenizer\n\nByte-level BPE of "
            f"{first['vocabulary']} ids on the kernel's documentation ({first['megabytes']:.1f} "
            "MB), MB/s from texts in memory; command `scripts/bench.sh --only tokenizer`. "
            + ("Both learn the same merges and give the same number of ids.\n\n" if same else
               "The two do not give the same merges or ids here.\n\n")
            + table(["pass", "threads", "adze", "tokenizers", "ratio"], rows))


def dsir(results):
    d = results["dsir"]
    size = d["adze"][0]["megabytes"]
    rates = [size / median_of(d[side], "seconds") for side in ("adze", "reference")]
    return ("## DSIR\n\nFrom JSON lines on disk to JSON lines on disk, one core each; MB/s of the "
            f"pool ({size:.1f} MB, {d['adze'][0]['documents']} documents); the reference is "
            f"data-selection {d['reference'][0]['version']}; command `scripts/bench.sh --only "
            "dsir`.\n\n" + table(["adze", "reference", "ratio"],
                                 [[f"{rates[0]:.1f}", f"{rates[1]:.2f}", spread(d["ratio"])]]))


def program(results):
    p = results["program"]
    return ("## Program\n\n`adze --help`: "
            f"{1000 * p['help_seconds']:.1f} ms ({1000 * p['help_least']:.1f}.."
            f"{1000 * p['help_most']:.1f}); stripped program: {p['bytes'] / 1e6:.2f} MB.\n")


def render(results):
    text = ("# Performance\n\nWritten by `make bench`, which measures both sides in turns in one "
            "run: a ratio is the peer's time divided by adze's, median (smallest..largest) over "
            "turns beside each other; above 1 adze is faster.\n\n" + machine(results))
    for name, section in (("train", train), ("gemm", gemm), ("weights", weights),
                          ("engine", lambda r: engine.render(r, table)),
                          ("lora", lora), ("tokenizer", tokenizer), ("dsir", dsir), ("program", program)):
        if name in results:
            text += "\n" + section(results)
    with open(os.path.join(os.path.dirname(__file__), "notes.md"), encoding="utf-8") as notes:
        return text + "\n" + notes.read()
