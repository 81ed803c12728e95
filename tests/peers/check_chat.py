"""How llama.cpp talks with a model that adze exports, whose tokenizer and template both put <s>, and
whose ends are named in three places: check_chat.py BUILD LLAMA_BIN WORK. One beginning, the same
prompt as adze's, and every end ends."""
import gzip
import json
import pathlib
import re
import subprocess
import sys

import common

TEMPLATE = ("{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% endif %}")
RENDERED = "[user] the cat</s>[assistant]"
ENDS, OTHER = (2, 401, 402), 403


def make(build, work):
    """A tiny model with Llama 2's kind of tokenizer."""
    ledger = ["--ledger", work / "ledger.sqlite", "-q"]
    tokenizer, text, folder = work / "tokenizer.model", work / "text.txt", work / "talking"
    tokenizer.write_bytes(gzip.decompress(
        (common.TREE / "tests/golden/tokenizers/stories.gz").read_bytes()))
    text.write_text("Once upon a time there was a little cat.\n" * 400)
    common.run(build / "adze", "train", "-d", text, "--tokenizer", tokenizer, "--layers", 1,
               "--width", 32, "--heads", 2, "--context", 64, "--batch", 4, "--steps", 10, "-o",
               folder, *ledger)
    for name, ends in (("config.json", 401), ("generation_config.json", [401, 402])):
        values = json.loads((folder / name).read_text())
        values["eos_token_id"] = ends
        (folder / name).write_text(json.dumps(values))
    return folder, ledger


def attempt(pattern, *command):
    """What llama.cpp says: under load, its last lines are sometimes lost as it ends."""
    for _ in range(20):
        done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
        if re.search(pattern, done.stdout):
            break
    return done.stdout


def check_prompt(build, programs, path, begins):
    said = attempt(r"sampler seed", programs / "llama-completion", "-m", path, "-cnv", "-st",
                   "--jinja", "-p", "the cat", "-n", 1, "--verbose-prompt", "-t", 2)
    got = [int(id) for id in re.findall(r"(\d+) -> '", said)]
    want = common.run(build / "adze", "tokenizer", "encode", "-m", path, "--model-tokens", "-p",
                      RENDERED).split()
    fine = got == [int(id) for id in want] and got.count(1) == 1
    print(f"a template that {'begins' if begins else 'does not begin'} with <s>: "
          f"{'the same prompt, begun once' if fine else f'{got}, adze {want}'}")
    return fine


def check_ends(programs, path):
    fine = True
    for token in (*ENDS, OTHER):
        said = attempt(r"end of text" if token in ENDS else r"eval time", programs /
                       "llama-completion", "-m", path, "-no-cnv", "-p", "the", "-n", 3, "--temp", 0,
                       "-t", 2, "--logit-bias", f"{token}+100")
        ended = "[end of text]" in said
        print(f"token {token} {'ends' if ended else 'does not end'} an answer")
        fine &= ended == (token in ENDS)
    return fine


def main():
    build, work, programs = map(pathlib.Path, sys.argv[1:4])
    folder, ledger = make(build, work)
    fine = True
    for begins in (True, False):
        template = ("{{ bos_token }}" if begins else "") + TEMPLATE
        (folder / "chat_template.jinja").write_text(template)
        path = work / f"talking-{begins}.gguf"
        common.run(build / "adze", "export", "-m", folder, "-o", path, *ledger)
        fine &= check_prompt(build, programs, path, begins)
    fine &= check_ends(programs, path)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
