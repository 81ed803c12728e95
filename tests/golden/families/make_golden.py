#!/usr/bin/env python3
"""Makes the figures of this directory: what llama.cpp computes of the models of ../models once adze
has written them as GGUF. Of decoders the perplexity of text.txt, in windows of CONTEXT tokens of
which the second half counts; of encoders the normed mean of the hidden states of its first part.
Needs a build of llama.cpp.

    python3 make_golden.py ADZE LLAMA_BIN

ADZE is build/adze, LLAMA_BIN the folder of llama-perplexity and llama-embedding.
"""
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
CONTEXT, EMBEDDED = 32, 24
# A vocabulary of as many tokens as the models have: words of one character.
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = "abcdefghijklmnopqrstuvwxyz0123456789!?.,;:+="
VOCABULARY = len(SPECIAL) + len(WORDS)
# llama.cpp has no windows for Llama's and Phi-3's files; so these are without theirs.
WINDOWS = {"mistral", "phi3"}


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-3000:]}")
    return done.stdout + done.stderr


def write_tokenizer(path):
    tokens = SPECIAL + list(WORDS)
    path.write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": id, "content": token, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for id, token in enumerate(SPECIAL)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {token: id for id, token in enumerate(tokens)}},
    }, indent=1) + "\n")


def write_text(path):
    """Words in no order: a model with random weights has nothing to say of any other text."""
    draw = random.Random(1)
    path.write_text(" ".join(draw.choice(WORDS) for _ in range(2048)) + "\n")


def tokens():
    """What llama.cpp makes of the text."""
    ids = {word: id for id, word in enumerate(WORDS, len(SPECIAL))}
    words = (HERE / "text.txt").read_text().split()
    return [SPECIAL.index("[CLS]"), *(ids[word] for word in words), SPECIAL.index("[SEP]")]


def is_encoder(name):
    return json.loads((MODELS / name / "config.json").read_text())["model_type"] in (
        "bert", "modernbert")


def write_gguf(adze, name, folder):
    """The model with the tokenizer as GGUF, or None when adze says that GGUF has no place for it."""
    source = folder / name
    shutil.copytree(MODELS / name, source)
    tokenizer = json.loads((HERE / "tokenizer.json").read_text())
    if not is_encoder(name):  # llama-perplexity takes no model that wants an end behind a text,
        tokenizer["post_processor"] = None  # yet llama.cpp puts both around the whole of it
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((source / "config.json").read_text())
    config.update(bos_token_id=2, eos_token_id=3)
    if name in WINDOWS:
        config["sliding_window"] = None
    (source / "config.json").write_text(json.dumps(config))
    path = folder / f"{name}.gguf"
    done = subprocess.run([str(adze), "convert", "-m", source, "-o", path, "--ledger",
                           folder / "ledger.sqlite"], capture_output=True, text=True)
    if done.returncode == 0:
        return path
    if "GGUF" in done.stderr:
        return None
    sys.exit(f"{name}: {done.stderr}")


def found(pattern, *command):
    """What the pattern's group finds in the output: under load its last lines are sometimes lost."""
    for _ in range(20):
        output = run(*command)
        match = re.search(pattern, output)
        if match:
            return json.loads(match.group(1))
    sys.exit(f"{' '.join(map(str, command))}: no figure in:\n{output[-2000:]}")


def perplexity(programs, path):
    """In f32, as far as llama.cpp has it."""
    return found(r"Final estimate: PPL = ([0-9.]+)", programs / "llama-perplexity", "-m", path,
                 "-f", HERE / "text.txt", "-c", CONTEXT, "-t", 2, "-fa", "off", "-ctk", "f32",
                 "-ctv", "f32")


def embedded_text():
    return (HERE / "text.txt").read_text()[:2 * EMBEDDED - 1]


def embedding(programs, path):
    return found(r"\[(\[.*\])\]", programs / "llama-embedding", "-m", path, "-p", embedded_text(),
                 "--embd-output-format", "array", "-t", 2)


def figure(programs, name, path):
    return (embedding if is_encoder(name) else perplexity)(programs, path)


def names():
    return sorted(folder.name for folder in MODELS.iterdir() if folder.is_dir())


def main():
    adze, programs = map(pathlib.Path, sys.argv[1:3])
    write_tokenizer(HERE / "tokenizer.json")
    write_text(HERE / "text.txt")
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names():
            path = write_gguf(adze, name, pathlib.Path(scratch))
            if path:
                figures[name] = figure(programs, name, path)
                print(name, figures[name], flush=True)
    (HERE / "figures.json").write_text(
        json.dumps({"context": CONTEXT, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
