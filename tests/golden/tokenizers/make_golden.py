"""Makes the tokenizers and ids that test_tokenizer_kinds.c and test_gguf_tokenizer.c hold adze to.

    python3 make_golden.py ORIGINALS      (tokenizers 0.23, sentencepiece 0.2; writes beside itself)

ORIGINALS is a folder with gpt2.tokenizer.json.gz, gpt-neox-20b.tokenizer.json.gz,
llama2.tokenizer.json.gz and minilm-bert.tokenizer.json.gz (the models' own files), tok512.model of
llama2.c, and sentencepiece-en-1000.model of SentencePiece's tests. Vocabularies are cut down to
their first merges or pieces, so that the files stay small; all else in them is kept. Others are
learned here: they are there for what lies around the models.

golden.json.gz  texts, and by tokenizer: kind of file, ids of each text without and with the tokens
                that the model expects around it, and what the ids decode to
NAME.gz         the tokenizers
"""
import gzip
import json
import os
import pathlib
import random
import sys

import sentencepiece
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

HERE = pathlib.Path(__file__).resolve().parent
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
         r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t\n", "Hello world",
    " Hello world", "Hello  world ", "  leading and trailing  ",
    "I'll, I'LL, they'Ve we'RE it'S 'tis DON'T CAN'T '\u017f 'st x'dx ''s'''t 'S 'RE",
    "1 12 123 1234 12345 1,234.56 2024-01-02 \u0663\u0664\u0665 \u2167 \u00bd \u00b2 \u0967\u0968",
    "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง", "السلام عليكم ورحمة الله وبركاته",
    "नमस्ते दुनिया, यह हिन्दी है। क्षत्रिय", "안녕하세요 세계 각 \u1100\u1161\u11a8",
    "東京都は日本の首都です。ｶﾀｶﾅ ﾊﾝｶｸ がぎぐ", "你好，世界！\U00020bb7野家 〇 中文字符",
    "Быстрая коричневая лиса ÎÏ Ελληνικά", "עברית עם ניקוד שָׁלוֹם",
    "e\u0301 e\u0323\u0302 a\u0308\u0301 q\u0307\u0323 \u0344 \u212b \u2126 \ufb01 ﬃ ǆ ẞ ß İ ı",
    "👩\u200d👩\u200d👧\u200d👦 🇩🇪🇫🇷 👍🏽 🙂🙃 ❤\ufe0f",
    "a\u00a0b\u2028c\u2029d\u3000e\u200bf\u205fg\u1680h\ufeffi\u0085j\u000bk\u000cl\u180em",
    "\x00\x01\x02\x1f\x7f\u0080\u009f\ufffd\ufffe \u00ad soft", "a" * 70, " " * 70, "ab" * 60,
    "é" * 40, "🙂" * 20, "x" * 101 + " y", "antidisestablishmentarianism",
    "def f(x):\n    return x**2  # comment\n\n\tif True:\n\t\tpass\r\n",
    "!@#$%^&*()_+-=[]{}|;':\",./<>?`~ --- ... !!!??? ___",
    "line\r\nline\rline\n\n\nline \n \n end\n ", "a\n b\n  c\n\t d",
    "<s> </s> <|endoftext|> [CLS] [MASK] [SEP] [UNK]", "x<s>y</s>z", "▁under ▁▁ score▁",
    "<0x0A> <0x41>", "Ġ Ċ Ã©", "http://example.com/path?q=1&r=2#frag user@mail.org",
    "camelCaseWord XMLHttpRequest snake_case_word CONSTANT_NAME sol solid aSOL",
    "naïve façade Ångström Straße œuvre ĳsberg Łódź Đặng Tiếng Việt",
    "ｆｕｌｌｗｉｄｔｈ １２３ ＡＢＣ ①②③ ㈱ ㍿ ™ ℃ № ㎏", "\u202eright to left\u202c \u2066iso\u2069",
    "a\u0300" * 30, "\u0301\u0301 start", "မြန်မာ ភាសាខ្មែរ ไทย ລາວ",
    "தமிழ் తెలుగు ಕನ್ನಡ മലയാളം বাংলা ગુજરાતી", "Ⓐⓑ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙", "   \n\n   \t x",
    "don’t “quote” ‘single’ – — …", "x" + "\n" * 10 + "y", "." * 50, "0" * 30,
]


def mixed(count):
    source = random.Random(1)
    parts = [text[i:i + source.randint(1, 6)] for text in TEXTS for i in range(0, len(text), 3)]
    return ["".join(source.choices(parts, k=source.randint(1, 20))) for _ in range(count)]


def original(folder, name):
    with gzip.open(folder / f"{name}.tokenizer.json.gz") as file:
        return json.load(file)


def first_merges(data, count):
    """Cuts a BPE model down to its first merges and the pieces that these need."""
    model = data["model"]
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    made = {"".join(pair) for pair in pairs}
    kept = pairs[:count]
    keep = {piece for pair in kept for piece in (*pair, "".join(pair))}
    keep |= {piece for piece in model["vocab"] if piece not in made}
    names = {token["content"] for token in data["added_tokens"]}
    order = sorted((i, p) for p, i in model["vocab"].items() if p in keep or p in names)
    model["vocab"] = {piece: i for i, (_, piece) in enumerate(order)}
    model["merges"] = kept
    return renumbered(data)


def first_words(data, count):
    """Cuts a WordPiece model down to its first pieces, and all of one character."""
    vocabulary = data["model"]["vocab"]
    order = sorted((i, p) for p, i in vocabulary.items())
    kept = [p for n, (i, p) in enumerate(order) if not p.startswith("[unused")]
    kept = [p for n, p in enumerate(kept) if n < count or (len(p) == 1 and n % 3 == 0)]
    data["model"]["vocab"] = {piece: i for i, piece in enumerate(kept)}
    return renumbered(data)


def renumbered(data):
    vocabulary = data["model"]["vocab"]
    following = len(vocabulary)
    ids = {}
    for token in data["added_tokens"]:
        old = token["id"]
        token["id"] = vocabulary.get(token["content"], following)
        following += token["id"] == following
        ids[old] = token["id"]
    processor = data["post_processor"] or {}
    for special in processor.get("special_tokens", {}).values():
        special["ids"] = [ids[i] for i in special["ids"]]
    data["truncation"] = data["padding"] = None
    return data


def byte_level(pattern=None, digits=False, nfc=False, whole=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole))
    steps = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if pattern:
        steps.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>", "<s>"], initial_alphabet=alphabet,
        show_progress=False))
    return tokenizer


def begun(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def stripping():
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("  ", normalized=True), AddedToken("sol", single_word=True)])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True), AddedToken("</s>", rstrip=True)])
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(TEXTS, trainers.UnigramTrainer(
        vocab_size=500, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
        show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>",
        special_tokens=[("</s>", tokenizer.token_to_id("</s>"))])
    return tokenizer


def gemma():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    texts = [text.replace("\0", "") for text in TEXTS]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=700, limit_alphabet=120, special_tokens=["<pad>", "</s>", "<s>", "<unk>"] + bytes_,
        show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] not in bytes_]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("▁▁", normalized=False)])
    return tokenizer


def phi(llama):
    first = max(llama["model"]["vocab"].values()) + 1
    for i, name in enumerate(["<|endoftext|>", "<|assistant|>", "<|end|>"]):
        llama["added_tokens"].append({
            "id": first + i, "content": name, "single_word": False, "lstrip": False,
            "rstrip": True, "normalized": False, "special": True})
    return llama


def save(name, data):
    with gzip.GzipFile(HERE / f"{name}.gz", "wb", mtime=0) as file:
        file.write(data)


def main():
    folder = pathlib.Path(sys.argv[1])
    os.chdir(HERE)
    texts = TEXTS + mixed(120)
    golden = {"texts": texts, "tokenizers": {}}
    made = {
        "gpt2": first_merges(original(folder, "gpt2"), 1500),
        "neox": first_merges(original(folder, "gpt-neox-20b"), 1000),
        "llama2": first_merges(original(folder, "llama2"), 1500),
        "phi3": phi(first_merges(original(folder, "llama2"), 500)),
        "bert": first_words(original(folder, "minilm-bert"), 3000),
        "llama3": begun(byte_level(LLAMA3, whole=True)),
        "qwen2": byte_level(QWEN2, nfc=True),
        "smollm": byte_level(digits=True),
        "tekken": begun(byte_level(CASED, whole=True)),
        "stripping": stripping(),
        "unigram": unigram(),
        "gemma": gemma(),
    }
    for name, tokenizer in made.items():
        if isinstance(tokenizer, dict):
            tokenizer = Tokenizer.from_str(json.dumps(tokenizer))
        save(name, tokenizer.to_str().encode())
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        golden["tokenizers"][name] = {
            "file": "json", "ids": ids,
            "model": [tokenizer.encode(text).ids for text in texts[:20]],
            "decoded": [tokenizer.decode(line) for line in ids]}
    plain = [text for text in texts if "<s>" not in text and "</s>" not in text]
    for name, path in (("stories", "tok512.model"), ("english", "sentencepiece-en-1000.model")):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / path))
        save(name, (folder / path).read_bytes())
        golden["tokenizers"][name] = {
            "file": "sentencepiece",
            "ids": [processor.encode(text) if text in plain else None for text in texts]}
    save("golden.json", json.dumps(golden, separators=(",", ":")).encode())


if __name__ == "__main__":
    main()
