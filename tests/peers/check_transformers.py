"""Models that adze wrote load in transformers and give the same logits; models that transformers
wrote load in adze and do so too; safetensors reads adze's files."""
import pathlib
import sys

import numpy
import safetensors.torch
import torch
import transformers

import common

TOLERANCE = 1e-4
OWN = {
    "llama": ["--family", "llama", "--kv-heads", 2, "--tied"],
    "llama-untied": ["--family", "llama"],
    "gpt2": ["--family", "gpt2"],
}


def compare(name, build, adze_model, model):
    """Logits, or an encoder's hidden states."""
    tokens = torch.randint(model.config.vocab_size, (1, 24))
    with torch.no_grad():
        out = model.eval()(tokens)
    kind = "logits" if hasattr(out, "logits") else "hidden states"
    want = (out.logits if kind == "logits" else out.last_hidden_state)[0].numpy()
    got = common.logits(build, adze_model, tokens[0].numpy(), want.shape[1])
    worst = numpy.abs(got - want).max()
    print(f"{name}: {kind} differ by {worst:.2g}")
    return bool(worst < TOLERANCE)


def main():
    build, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    ledger = ["--ledger", work / "ledger.sqlite"]
    fine = True
    torch.manual_seed(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name, options in OWN.items():
        folder, file = work / name, work / f"{name}.gguf"
        common.run(build / "adze", "train", "-d", common.TREE / "docs", "--width", 64, "--heads", 4,
                   "--layers", 2, "--context", 64, "--vocabulary", 400, "--steps", 30, "-o", folder,
                   *options, *ledger)
        common.run(build / "adze", "convert", "-m", folder, "-o", file, *ledger)
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        model, notes = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True)
        missing = set(notes["missing_keys"]) | set(notes["unexpected_keys"])
        if missing or any(value.dtype != torch.float32 for value in tensors.values()):
            print(f"{name}: unexpected tensors: {sorted(missing)}")
            fine = False
        fine &= compare(f"adze's {name}", build, folder, model)
        fine &= compare(f"adze's {name} through GGUF", build, file, model)
    golden = common.script("tests/golden/models/make_golden.py")
    for name in golden.MODELS:
        golden.make(name, work / f"peer-{name}")
        kind = transformers.AutoModel if "bert" in name else transformers.AutoModelForCausalLM
        model = kind.from_pretrained(work / f"peer-{name}", dtype=torch.float32)
        fine &= compare(f"transformers' {name}", build, work / f"peer-{name}", model)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
