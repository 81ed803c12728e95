"""Whole vocabularies: adze's ids against Hugging Face's tokenizers, SentencePiece, and the ids that
llama.cpp keeps beside its vocabularies, on the texts of the goldens and many more mixtures of them;
and what adze writes, tokenizer.json and GGUF, read by tokenizers and by adze itself.

    check_tokenizers.py BUILD WORK FOLDER

FOLDER holds whatever there is of *.tokenizer.json.gz, *.model, *.gguf with *.inp and *.out."""
import gzip
import pathlib
import struct
import sys

import sentencepiece
from tokenizers import Tokenizer

import common

golden = common.script("tests/golden/tokenizers/make_golden.py")


def ids(build, path, texts, what="encode", output=None):
    """adze's ids of each text; with `output` the tokenizer is written there, too."""
    records = b"".join(struct.pack("<i", len(text)) + text for text in texts)
    command = [build / "peer_ids", what, path] + ([output] if output else [])
    out, at, lists = common.run(*command, input=records), 0, []
    while at < len(out):
        count, = struct.unpack_from("<i", out, at)
        lists.append(list(struct.unpack_from(f"<{count}i", out, at + 4)))
        at += 4 + 4 * count
    return lists


def compare(name, got, want, texts):
    wrong = [i for i, line in enumerate(got) if line != want[i]]
    print(f"{name}: {len(wrong)} of {len(got)} texts differ")
    for i in wrong[:2]:
        print(f"  {texts[i][:60]!r}\n  adze {got[i][:20]}\n  peer {want[i][:20]}")
    return not wrong and len(got) == len(want)


def check_json(build, work, path, texts):
    file = work / "original.json"
    file.write_bytes(gzip.open(path).read())
    peer = Tokenizer.from_file(str(file))
    peer.no_truncation()
    peer.no_padding()
    encoded = [text.encode() for text in texts]
    want = [line.ids for line in peer.encode_batch(texts, add_special_tokens=False)]
    fine = compare(path.name, ids(build, file, encoded), want, texts)
    for ending in ("json", "gguf"):
        copy, back = work / f"copy.{ending}", work / "back.json"
        ids(build, file, [], output=copy)
        fine &= compare(f"  as {ending}", ids(build, copy, encoded), want, texts)
        ids(build, copy, [], output=back)
        read = Tokenizer.from_file(str(back)).encode_batch(texts, add_special_tokens=False)
        fine &= compare(f"  as {ending}, read by tokenizers", [line.ids for line in read], want,
                        texts)
    return fine


def check_pieces(build, work, path, texts):
    plain = [text for text in texts if "<s>" not in text and "</s>" not in text]
    encoded = [text.encode() for text in plain]
    want = sentencepiece.SentencePieceProcessor(model_file=str(path)).encode(plain)
    fine = compare(path.name, ids(build, path, encoded), want, plain)
    ids(build, path, [], output=work / "copy.gguf")
    return fine & compare("  as gguf", ids(build, work / "copy.gguf", encoded), want, plain)


def check_stored(build, path, out):
    texts = path.with_name(path.name + ".inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    want = [[int(word) for word in line.split()] for line in out.read_text().split("\n")]
    return compare(path.name, ids(build, path, texts), want, texts)


def main():
    build, work, folder = map(pathlib.Path, sys.argv[1:4])
    texts = golden.TEXTS + golden.mixed(3000)
    fine = True
    for path in sorted(folder.glob("*.tokenizer.json.gz")):
        fine &= check_json(build, work, path, texts)
    for path in sorted(folder.glob("*.model")):
        fine &= check_pieces(build, work, path, texts)
    for path in sorted(folder.glob("*.gguf")):
        out = path.with_name(path.name + ".out")
        if out.exists():
            fine &= check_stored(build, path, out)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
