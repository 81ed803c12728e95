"""The embeddings of an encoder in a folder, by `adze embed` and by transformers: check_embeddings.py
BUILD WORK MODEL."""
import json
import pathlib
import sys

import torch
import transformers

import common

TOLERANCE = 1e-5


def texts():
    """Paragraphs of the documents, of many lengths."""
    whole = (common.TREE / "docs" / "architecture.md").read_text()
    return [" ".join(part.split()) for part in whole.split("\n\n") if 0 < len(part) < 1500][:60]


def main():
    build, work, folder = map(pathlib.Path, sys.argv[1:4])
    source = work / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()))
    lines = common.run(build / "adze", "embed", "-m", folder, "-d", source, "--precision", "f32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    worst = 0.0
    for text, line in zip(texts(), lines.splitlines(), strict=True):
        got = torch.tensor(json.loads(line)["embedding"])
        with torch.no_grad():
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        worst = max(worst, (got - mean / mean.norm()).abs().max().item())
    print(f"{folder.name}: embeddings of {len(texts())} texts differ by {worst:.2g}")
    sys.exit(0 if worst < TOLERANCE else 1)


if __name__ == "__main__":
    main()
