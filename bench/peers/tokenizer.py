"""Times Hugging Face tokenizers as bench/tokenizer.c times adze: texts in memory, then training of
a byte-level BPE tokenizer and encoding with it.

  tokenizer.py CORPUS.jsonl VOCABULARY THREADS OUTPUT.json
"""
import json
import os
import sys
import time

os.environ["RAYON_NUM_THREADS"] = sys.argv[3]
os.environ["TOKENIZERS_PARALLELISM"] = "true"

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def main():
    path, vocabulary, threads, output = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    with open(path, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    size = sum(len(text.encode()) for text in texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    begin = time.perf_counter()
    tokenizer.train_from_iterator(texts, trainer)
    train_seconds = time.perf_counter() - begin
    encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
    begin = time.perf_counter()
    encodings = encode(texts, add_special_tokens=False)
    encode_seconds = time.perf_counter() - begin
    ids = sum(len(encoding.ids) for encoding in encodings)
    tokenizer.save(output)
    print(json.dumps({"megabytes": size * 1e-6, "threads": threads,
                      "vocabulary": tokenizer.get_vocab_size(), "train_seconds": train_seconds,
                      "encode_seconds": encode_seconds, "ids": ids,
                      "version": tokenizers.__version__}))


main()
