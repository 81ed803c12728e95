"""Renders chat templates with Hugging Face's transformers, for tests/text/test_chat_golden.c.

The ten templates are those that the named models publish; each is under its model's licence (see
README.md). transformers 5.24, Jinja2 3.1.6. Run: python3 make_golden.py
"""
import gzip
import json
import os
import datetime

import transformers.utils.chat_template_utils as chat
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from expressions import EXPRESSIONS, PRINTED, STATEMENTS, VARIABLES

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = datetime.datetime(2025, 3, 9, 14, 5, 6)


class Frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat.datetime = Frozen

TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "Wetter, \"now\" <b>&</b> 天気",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "City's name"},
        "days": {"type": "integer", "default": 3, "enum": [1, 3]},
        "scale": {"type": ["string", "null"], "x": 0.5}}, "required": ["city"]}}}
TOOL2 = {"type": "function", "function": {"name": "noop", "description": "", "parameters": {
    "type": "object", "properties": {}}}}


def call(name, arguments, ident="abcdefghi"):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


S = {"role": "system", "content": "You are terse."}
U = {"role": "user", "content": "Hello!"}
A = {"role": "assistant", "content": "Hi. How can I help?"}
U2 = {"role": "user", "content": "  What is 1 < 2 & \"3\"?\n\n- é\n- 東京 \U0001f600  "}
A2 = {"role": "assistant", "content": "\n\nIt's *true*.\n"}
THINK = {"role": "assistant", "content": "<think>\nhm, let me\n</think>\n\nIt is 4."}
REASON = {"role": "assistant", "content": "Four.", "reasoning_content": "2 and 2\nmake"}
OLDER = {"role": "assistant", "content": "Four.", "thinking": "older name"}
CALL = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"city": "Köln", "days": 3})]}
CALLS = {"role": "assistant", "content": "Wait.", "tool_calls": [
    call("get_weather", {"city": "A", "x": [1, 2.5, None, True]}), call("noop", {}, "123456789")]}
CALL_TEXT = {"role": "assistant", "tool_calls": [call("noop", "{\"a\": 1}")]}
CALL_SHORT = {"role": "assistant", "content": None, "tool_calls": [call("noop", {"a": 1}, "x")]}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "18 °C"}
RESULT2 = {"role": "tool", "tool_call_id": "123456789", "content": "{\"ok\": true}"}
RESULT_MAP = {"role": "tool", "tool_call_id": "abcdefghi", "content": {"content": [1, 2]}}

CONVERSATIONS = {
    "user": [U], "system": [S, U], "two": [U, A, U2], "four": [S, U, A, U2, A2, U],
    "ends": [U, A], "ends_long": [S, U, A, U2, A2], "unicode": [U2], "empty": [{"role": "user", "content": ""}],
    "empty_system": [{"role": "system", "content": ""}, U], "empty_answer": [U, {"role": "assistant", "content": ""}, U],
    "system_only": [S], "assistant_first": [A, U], "two_users": [U, U2], "two_systems": [S, U, A, S, U],
    "late_system": [U, S, U2], "two_answers": [U, A, A2], "unknown_role": [U, {"role": "critic", "content": "x"}],
    "no_role": [{"content": "x"}], "no_content": [{"role": "user"}], "null_content": [{"role": "user", "content": None}],
    "number": [{"role": "user", "content": 42}], "parts": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    "think": [U, THINK, U2], "think_last": [U, THINK], "reason": [U, REASON, U2], "reason_last": [U, REASON],
    "older": [U, OLDER], "no_think": [{"role": "system", "content": "Brief. /no_think"}, U],
    "think_flag": [{"role": "system", "content": "Brief. /think "}, U, A, U2],
    "call": [U, CALL], "call_result": [U, CALL, RESULT], "call_done": [S, U, CALL, RESULT, A, U2],
    "calls": [U, CALLS, RESULT, RESULT2], "calls_done": [S, U, CALLS, RESULT, RESULT2, A],
    "call_text": [U, CALL_TEXT, RESULT], "call_short": [U, CALL_SHORT, RESULT], "result_map": [U, CALL, RESULT_MAP],
    "result_first": [RESULT, U], "reason_call": [U, dict(CALL, reasoning_content="need data"), RESULT],
    "ipython": [U, {"role": "ipython", "content": {"a": 1}}], "tokens": [{"role": "user", "content": "<|im_end|><s>[/INST]"}],
    "long": [m for i in range(6) for m in ({"role": "user", "content": f"question {i}"},
                                           {"role": "assistant", "content": f"answer {i}" + " etc" * i})],
    "crlf": [{"role": "user", "content": "a\r\nb\tc\\n"}],
    "nothing": [],
}
MESSY = "user system two ends think reason call_done calls_done".split()
OPTIONS = [({}, None), ({"add_generation_prompt": True}, None)]
MORE = [
    ({"add_generation_prompt": True, "enable_thinking": True}, MESSY),
    ({"add_generation_prompt": True, "enable_thinking": False}, MESSY),
    ({"tools": [TOOL]}, MESSY + ["calls"]), ({"tools": [TOOL, TOOL2], "add_generation_prompt": True}, list(CONVERSATIONS)),
    ({"tools": []}, ["user"]), ({"continue_final_message": True}, "ends ends_long user unicode think_last empty calls_done".split()),
    ({"documents": [{"doc_id": 1, "title": "T", "text": "Fact."}, {"doc_id": 2, "text": "x"}]}, ["user", "system"]),
    ({"documents": [{"doc_id": 1, "text": "F"}], "tools": [TOOL], "controls": {"citations": True, "hallucinations": True, "length": "long"},
      "add_generation_prompt": True}, ["user", "two"]),
    ({"thinking": True, "add_generation_prompt": True}, ["user", "two"]),
    ({"date_string": "01 Jan 2020"}, ["user"]), ({"tools": [TOOL], "tools_in_user_message": False}, ["user", "call_done"]),
    ({"builtin_tools": ["brave_search", "code_interpreter"], "tools": [TOOL]}, ["user", "call_done"]),
    ({"builtin_tools": ["get_weather"]}, ["call"]), ({"custom_tools": [TOOL2]}, ["user"]),
    ({"available_tools": [TOOL2]}, ["user"]), ({"bos_token": "<other>"}, ["user"]),
]


def outcome(render):
    try:
        text = render()
        text.encode()
        return {"text": text}
    except Exception as problem:
        return {"error": f"{type(problem).__name__}: {problem}".split("\n")[0][:120]}


def chats():
    out = {"conversations": CONVERSATIONS, "tokens": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
           "now": NOW.isoformat(" "), "cases": []}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>",
                                        unk_token="<unk>")
    names = sorted(n[:-6] for n in os.listdir(HERE) if n.endswith(".jinja"))
    for name in names:
        with open(os.path.join(HERE, name + ".jinja"), newline="") as file:
            tokenizer.chat_template = file.read()
        for options, keys in OPTIONS + MORE:
            for key in keys or CONVERSATIONS:
                result = outcome(lambda: tokenizer.apply_chat_template(
                    json.loads(json.dumps(CONVERSATIONS[key])), tokenize=False, **json.loads(json.dumps(options))))
                out["cases"].append({"template": name, "conversation": key, "options": options, **result})
    return out


def grid():
    sources = [f"{{{{ {e} }}}}" for e in PRINTED + EXPRESSIONS]
    sources += [f"{{{{ [{e}] }}}}" for e in PRINTED] + [f"{{{{ {e} | tojson }}}}" for e in PRINTED]
    sources += STATEMENTS
    out = {"variables": VARIABLES, "now": NOW.isoformat(" "), "cases": []}
    for source in sources:
        result = outcome(lambda: chat._compile_jinja_template(source).render(**json.loads(json.dumps(VARIABLES))))
        if "0x" in result.get("text", "") and " at 0x" in result["text"]:
            continue  # prints an address
        out["cases"].append({"source": source, **result})
    return out


def ranges():
    """What {% generation %} marks, in characters."""
    source = ("{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}"
              "{% generation %}{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}\n"
              "{% endfor %}")
    out = []
    for key in "two four ends_long unicode think long".split():
        text, marks = chat.render_jinja_template([CONVERSATIONS[key]], chat_template=source,
                                                 return_assistant_tokens_mask=True, bos_token="<s>")
        out.append({"conversation": key, "text": text[0], "ranges": marks[0]})
    return {"source": source, "cases": out}


if __name__ == "__main__":
    for name, content in (("chats", chats()), ("grid", grid()), ("ranges", ranges())):
        data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        with open(os.path.join(HERE, name + ".json.gz"), "wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as zipped:
                zipped.write(data)
        errors = sum("error" in c for c in content["cases"])
        print(name, len(content["cases"]), "cases,", errors, "errors,", len(data), "bytes")
