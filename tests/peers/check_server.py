"""The server under the programs that it is made for: OpenAI's Python client, and the
lm-evaluation-harness over its completions backend, whose log-likelihoods are compared with those
that the harness computes with transformers on the same model.

    check_server.py BUILD WORK [MODEL]    MODEL: a chat model to talk to, too
"""
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from common import run

build, work = (pathlib.Path(part).resolve() for part in sys.argv[1:3])
work.mkdir(parents=True, exist_ok=True)


def missing(name):
    if importlib.util.find_spec(name):
        return False
    print(f"{name}: not installed, so the server is not tried with it")
    return True


def train():
    """A model that knows which animal makes which sound, so that a task has right answers."""
    sounds = {"cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack"}
    text = work / "text.txt"
    lines = [f"The {animal} says {sound}." for animal, sound in sounds.items()] * 500
    text.write_text("\n\n".join(lines))
    model = work / "served"
    run(build / "adze", "train", "-d", text, "--steps", "150", "--layers", "2", "--width", "64",
        "--heads", "4", "--context", "128", "--vocabulary", "300", "-o", model, "-q", "--force",
        "--held-out", "0.3", "--ledger", work / "ledger")
    tokens = json.loads((model / "tokenizer.json").read_text())["added_tokens"]
    (model / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": tokens[0]["content"],
         "eos_token": tokens[0]["content"]}))
    return model, sounds


@contextlib.contextmanager
def serve(model, *options):
    command = [build / "adze", "serve", "-m", model, "--port", "0", *options]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    found = re.search(r"http://[^/ ]*/", line)
    if not found:
        sys.exit(f"the server does not start: {line}")
    try:
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def check_client(model):
    import openai

    with serve(model, "--api-key", "secret", "--precision", "f32") as url:
        client = openai.OpenAI(base_url=url + "v1", api_key="secret", max_retries=0)
        assert client.models.list().data[0].id == model.name
        options = dict(model=model.name, prompt="The cat", max_tokens=12, temperature=0)
        whole = client.completions.create(**options)
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        stream = list(client.completions.create(
            **options, stream=True, stream_options={"include_usage": True}))
        pieces = [chunk.choices[0].text for chunk in stream if chunk.choices]
        assert "".join(pieces) == whole.choices[0].text, (pieces, whole)
        assert stream[-1].usage.completion_tokens == whole.usage.completion_tokens
        several = client.completions.create(**{**options, "prompt": ["The cow", "The dog"], "n": 2})
        assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
        likely = client.completions.create(**options, logprobs=2, echo=True).choices[0]
        assert likely.text == "The cat" + whole.choices[0].text
        assert len(likely.logprobs.tokens) == len(likely.logprobs.token_logprobs)
        assert all(likely.text[place:].startswith(token) for token, place in
                   zip(likely.logprobs.tokens, likely.logprobs.text_offset))
        one, two = client.embeddings.create(model="m", input=["The cat", "says"]).data
        plain = client.embeddings.create(model="m", input="The cat", encoding_format="float").data[0]
        assert max(abs(a - b) for a, b in zip(one.embedding, plain.embedding)) < 1e-6
        assert abs(sum(value * value for value in one.embedding) - 1) < 1e-5
        assert one.embedding != two.embedding
        for error, arguments in ((openai.BadRequestError, {"temperature": -1}),
                                 (openai.BadRequestError, {"prompt": "a" * 10000})):
            try:
                client.completions.create(**{**options, **arguments})
                sys.exit(f"{arguments} is taken")
            except error as refused:
                assert refused.body["message"]
        try:
            openai.OpenAI(base_url=url + "v1", api_key="wrong").models.list()
            sys.exit("a wrong key is taken")
        except openai.AuthenticationError:
            pass
    print(f"OpenAI's client {openai.__version__}: completions, streams, embeddings, errors agree")


def check_chat(model):
    import openai

    with serve(model) as url:
        client = openai.OpenAI(base_url=url + "v1", api_key="none", max_retries=0)
        options = dict(model="m", max_tokens=24, temperature=0, messages=[
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": [{"type": "text", "text": "Name a color."}]}])
        whole = client.chat.completions.create(**options, logprobs=True, top_logprobs=2)
        choice = whole.choices[0]
        assert choice.message.role == "assistant" and choice.message.content
        assert len(choice.logprobs.content[0].top_logprobs) == 2
        pieces = list(client.chat.completions.create(**options, stream=True))
        assert pieces[0].choices[0].delta.role == "assistant"
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
        assert text == choice.message.content, (text, choice)
        assert pieces[-1].choices[0].finish_reason == choice.finish_reason
        print(f"a chat with {model.name}: {text!r}, whole and streamed")


def check_tools():
    """A model that has learnt to call a tool, asked through the client."""
    import openai

    text, model = work / "calls.txt", work / "caller"
    call = '<tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>'
    text.write_text(f"Rain? Let me see. {call};" * 500)
    run(build / "adze", "train", "-d", text, "--steps", "120", "--layers", "2", "--width", "64",
        "--heads", "2", "--context", "128", "--vocabulary", "300", "-o", model, "-q", "--force",
        "--ledger", work / "ledger")
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template":
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if tools and false %}<tool_call>"
        "{% endif %}"}))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}
    with serve(model, "--precision", "f32") as url:
        client = openai.OpenAI(base_url=url + "v1", api_key="none", max_retries=0)
        options = dict(model="m", max_tokens=100, temperature=0, stop=[";"], tools=[tool],
                       messages=[{"role": "user", "content": "Rain?"}])
        choice = client.chat.completions.create(**options).choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.content == " Let me see."
        own = choice.message.tool_calls[0]
        assert own.type == "function" and own.function.name == "weather", own
        assert json.loads(own.function.arguments) == {"city": "Ulm"}
        with client.chat.completions.stream(**options) as stream:
            final = stream.get_final_completion().choices[0]
        assert final.finish_reason == "tool_calls"
        assert final.message.tool_calls[0].function == own.function or \
            final.message.tool_calls[0].function.arguments == own.function.arguments
        told = [choice.message.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": own.id, "content": "sunny"}]
        client.chat.completions.create(**{**options, "messages": options["messages"] + told})
    print("OpenAI's client: calls of tools agree, whole and streamed")


def make_task(sounds):
    folder = work / "task"
    folder.mkdir(exist_ok=True)
    with open(folder / "sounds.jsonl", "w") as file:
        for animal, sound in sounds.items():
            choices = list(sounds.values())
            file.write(json.dumps({"question": f"The {animal} says", "choices": choices,
                                   "answer": choices.index(sound)}) + "\n")
    (folder / "sounds.yaml").write_text(f"""task: sounds
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder / 'sounds.jsonl'}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
doc_to_choice: choices
metric_list: [{{metric: acc}}]
""")
    return folder


def likelihoods(result):
    """The log-likelihood of every choice, by question."""
    return {sample["doc_id"]: [float(answer[0]) for answer in
                               (part[0] if isinstance(part[0], (list, tuple)) else part
                                for part in sample["resps"])]
            for sample in result["samples"]["sounds"]}


def check_harness(model, sounds):
    os.environ.setdefault("HF_DATASETS_CACHE", str(work / "datasets"))
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import lm_eval
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=str(make_task(sounds)), include_defaults=False)
    common = dict(tasks=["sounds"], task_manager=tasks, log_samples=True, bootstrap_iters=0)
    with serve(model, "--precision", "f32", "--kv", "f32") as url:
        own = lm_eval.simple_evaluate(
            model="local-completions",
            model_args=dict(model="served", base_url=url + "v1/completions", tokenizer=str(model),
                            num_concurrent=4, max_retries=1, tokenized_requests=True,
                            max_length=128), **common)
    other = lm_eval.simple_evaluate(
        model="hf", model_args=dict(pretrained=str(model), dtype="float32", max_length=128),
        device="cpu", batch_size=1, **common)
    score = own["results"]["sounds"]["acc,none"]
    assert score == other["results"]["sounds"]["acc,none"], (own["results"], other["results"])
    mine, theirs = likelihoods(own), likelihoods(other)
    worst = max(abs(a - b) for key in theirs for a, b in zip(mine[key], theirs[key]))
    assert worst < 1e-4, (mine, theirs)
    print(f"lm-evaluation-harness {lm_eval.__version__}: accuracy {score:.2f} as with transformers, "
          f"log-likelihoods within {worst:.1e}")


if __name__ == "__main__":
    model, sounds = train()
    if not missing("openai"):
        check_client(model)
        check_tools()
        if len(sys.argv) > 3:
            check_chat(pathlib.Path(sys.argv[3]))
    if not missing("lm_eval"):
        check_harness(model, sounds)
