"""Makes the figures that test_tokenizer_golden.c holds adze to, with Hugging Face's tokenizers.

    python3 make_golden.py        (tokenizers 0.23; writes into its own folder)

text.txt      what the tokenizer is learned from
expected.json its vocabulary and merges as tokenizers learns them, and the ids of torture.txt
"""
import json
import os

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

os.chdir(os.path.dirname(os.path.abspath(__file__)))

text = """The quick brown fox jumps over the lazy dog, doesn't it? They'd say it's what we've all heard;
I'll bet you're sure that he's 25 or 1,024 years old, give or take 0.5 %.

    def scan(self, text: str) -> list[int]:
        return [ord(c) for c in text if c not in " \\t\\n"]   # all but white space

\tint main(void) { for (int i = 0; i < 10; i++) printf("%d\\n", i * i); return 0; }

Grüße aus Köln: Straße, naïve façade, Ångström, ĳsberg, Ǆ, İstanbul, ﬁnd.
Быстрая коричневая лиса прыгает через ленивую собаку. Η γρήγορη καφέ αλεπού.
東京都は日本の首都です。天気がいいですね。 한국어 문장도 있습니다. สวัสดีชาวโลก
السلام عليكم ورحمة الله וברכותיו 🙂🙃 👩‍👩‍👧‍👦 🇩🇪🇫🇷 e\u0301 \u200b\u00a0\u3000 ½ ² Ⅷ ٣٤٥
""" + "the cat sat on the mat and the rat sat on the cat. " * 8

torture = text + "\r\n\r\n \n\n\t\t  x  \u2028y\u0085z \x00\x01\x02\x7f ''s'''t 'S 'RE they'llbe  " \
    + "a" * 70 + " " * 70 + "ab" * 50 + "\u00e9" * 30 + "🙂" * 20 + " 12345678901234567890 _ __ --- \n"

with open("text.txt", "w", encoding="utf-8", newline="") as file:
    file.write(text)
with open("torture.txt", "w", encoding="utf-8", newline="") as file:
    file.write(torture)

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=600, min_frequency=2, special_tokens=["<|endoftext|>"],
                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                              show_progress=False)
tokenizer.train_from_iterator([text], trainer)
model = json.loads(tokenizer.to_str())["model"]
merges = [m if isinstance(m, list) else m.split(" ") for m in model["merges"]]
ids = tokenizer.encode(torture).ids
assert tokenizer.decode(ids) == torture
with open("expected.json", "w") as file:
    json.dump({"vocab": model["vocab"], "merges": merges, "ids": ids}, file)
    file.write("\n")
