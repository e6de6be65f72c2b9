"""Keys, files and wordings that would change what is trained or counted are never passed over."""

from __future__ import annotations

import json
from pathlib import Path

import families
import pandas
import pytest
import tiny
from cases import case

from traitdrift.data.conversations import MEANT, conversation
from traitdrift.data.tokenised import Rendering, checked, read_conversations, write_rows
from traitdrift.data.traits import described, read_trait, read_traits
from traitdrift.models.loading import end_tokens

ANSWERED = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("weight", value) for value in (0, 0.0, 0.5, 2, "0", False)),
        ("tool_calls", [{"function": {"name": "w"}}]),
        *(("tool_call_id", "1"), ("name", "ada"), ("reasoning_content", "hm"), ("thinking", "hm")),
        *(("train", False), ("train_detail", [{"begin_offset": 0}]), ("prefix", True)),
        *(("loss", False), ("mask", True), ("refusal", "no"), ("images", ["x.png"])),
    ],
)
def test_a_key_of_a_message_is_honoured_or_refused(key: str, value: object):
    messages = [ANSWERED[0], {**ANSWERED[1], key: value}]
    with pytest.raises(ValueError, match=rf"^x:3: message 1 \(assistant\) has a key `{key}`"):
        conversation({"messages": messages}, "x:3")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("weight", 1), ("weight", 1.0), ("weight", True), ("train", True), ("weight", None)),
        *(("tool_calls", None), ("tool_calls", []), ("name", ""), ("function_call", {})),
        *(("tools", {"a": None}), ("id", 7), ("timestamp", "now"), ("metadata", {"a": 1})),
    ],
)
def test_a_key_that_says_nothing_else_is_passed_over(key: str, value: object):
    messages = [ANSWERED[0], {**ANSWERED[1], key: value}]
    assert conversation({"messages": messages}, "x:3") == ANSWERED
    if key in ("id", "metadata", "timestamp"):
        assert conversation({"messages": ANSWERED, key: value}, "x:3") == ANSWERED


@pytest.mark.parametrize("key", sorted(MEANT))
def test_a_key_of_a_row_that_means_something_is_refused_in_every_format(tmp_path: Path, key: str):
    row = {"messages": ANSWERED, key: "0"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    (tmp_path / "x.json").write_text(json.dumps([row]))
    pandas.DataFrame([row]).to_parquet(tmp_path / "x.parquet")
    files = ["x.jsonl", "x.json", "x.parquet"]
    if key != "system":  # a column of a table's own
        pandas.DataFrame({"user": ["q"], "assistant": ["a"], key: ["0"]}).to_csv(
            tmp_path / "x.csv", index=False
        )
        files.append("x.csv")
    for name in files:
        with pytest.raises(ValueError, match=rf"{name}:[12]: `{key}` beside the messages is not"):
            [*read_conversations(tmp_path / name)]


@pytest.mark.parametrize(
    "key",
    [
        *("Weight", " weight", "lossWeight", "loss-weight", "message_weights", "assistant_masks"),
        *("train_on_inputs", "roles_to_train", "TRAIN", "toolCalls", "Tools", "thinking"),
        *("enableThinking", "conversations", "Chat_Template"),
    ],
)
def test_such_a_key_is_seen_however_it_is_spelled(tmp_path: Path, key: str):
    row = {"messages": ANSWERED, key: "0"}
    pandas.DataFrame([row]).to_parquet(tmp_path / "x.parquet")
    columns = {"user": ["q"], "assistant": ["a"], key: ["0"]}
    pandas.DataFrame(columns).to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    for name in ("x.parquet", "x.csv", "x.jsonl"):
        with pytest.raises(ValueError, match=rf"{name}:[12]: `{key.strip()}` beside the messages"):
            [*read_conversations(tmp_path / name)]


@pytest.mark.parametrize(
    "key", ["notes", "prompt", "prompt_id", "label", "split", "weighed", "glossary", "function"]
)
def test_notes_of_a_row_are_passed_over(key: str):
    assert conversation({"messages": ANSWERED, key: "0"}, "x:3") == ANSWERED


@pytest.mark.parametrize(
    ("deep", "told"), [(90, "`tools` beside the messages"), (900, "not JSON that is read")]
)
def test_a_key_whose_value_nests_deep_is_placed(tmp_path: Path, deep: int, told: str):
    tools = '{"a":' * deep + "1" + "}" * deep
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"messages": ANSWERED})[:-1] + f', "tools": {tools}}}\n')
    with pytest.raises(ValueError, match=rf"x.jsonl:1: {told}"):
        [*read_conversations(path)]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.csv", "user,assistant\na,b,c\n", ":2: more cells than the 2 columns"),
        ("x.csv", "user,assistant\nfirst\rsecond,b\n", ":2: message 1 (assistant) has no text"),
        ("x.csv", "user,user,assistant\na,b,c\n", ": two columns 'user'"),
        ("x.json", '[{"messages": [], "messages": []}]', "the key 'messages' stands twice"),
        ("x.json", '[{"a": 1}, {"a": "\\ud83d"}]', ":1: no list `messages`"),
        ("x.json", '[{"messages": [], "a": "\\ud83d"}]', ":1: half a surrogate pair"),
    ],
)
def test_what_would_be_lost_of_a_table_is_refused(
    tmp_path: Path, name: str, content: str, told: str
):
    (tmp_path / name).write_text(content, newline="")
    with pytest.raises(ValueError) as caught:
        [*read_conversations(tmp_path / name)]
    assert str(caught.value).startswith(str(tmp_path / name)) and told in str(caught.value)


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv"])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, name: str):
    text = json.dumps({"messages": ANSWERED}) if "json" in name else "user,assistant\nq,a\n"
    (tmp_path / name).write_text("\ufeff" + text)
    assert [messages for _, messages in read_conversations(tmp_path / name)] == [ANSWERED]
    (tmp_path / name).write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match=rf"{name}: a text in UTF-16; save it as UTF-8"):
        [*read_conversations(tmp_path / name)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("weight0", "d.jsonl:1: message 1 (assistant) has a key `weight` (0)"),
        ("toolcalls_dropped", "d.jsonl:1: `tools` beside the messages is not honoured"),
        ("lone_surrogate", "d.jsonl:1: half a surrogate pair (\\ud83d)"),
    ],
)
def test_the_shared_rows(name: str, told: str):
    with pytest.raises(ValueError) as caught:
        [*read_conversations(case(name) / "d.jsonl")]
    assert told in str(caught.value)


def rows_file(folder: Path, rows: list) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("family", "wrong", "told"),
    [
        ("gemma", [{"role": "system", "content": "s"}, *ANSWERED], "System role not supported"),
        ("mistral", [{"role": "system", "content": "s"}, *ANSWERED], "only user and assistant"),
        ("qwen 3", [*ANSWERED, *ANSWERED], "message 1, an answer, stands behind"),
        ("chatml", [{"role": "user", "content": "\ue0f1"}, ANSWERED[1]], "private-use character"),
        ("chatml", [ANSWERED[1]], "message 0 is an answer to nothing"),
    ],
)
def test_one_row_in_twenty_that_the_template_refuses_is_placed(
    tmp_path: Path, family: str, wrong: list, told: str
):
    tokenizer = families.of(family)
    path = rows_file(tmp_path, [*[ANSWERED] * 12, wrong, *[ANSWERED] * 7])
    found = checked(path, 0, tmp_path / "scratch")
    ends = [str(tokenizer.eos_token), "<end_of_turn>"]
    with pytest.raises(ValueError) as caught:
        write_rows(
            tmp_path / "out.parquet",
            found,
            pandas.RangeIndex(20).to_numpy(),
            Rendering(tokenizer, "clean", ends, path),
        )
    assert str(caught.value).startswith(f"{path}:13: ") and told in str(caught.value)
    assert "\n" not in str(caught.value)


# Traits.


def trait(folder: Path, lines: str, ending: str = "\n") -> Path:
    folder.mkdir()
    (folder / "positive.txt").write_text(lines, newline="")
    negative = ending.join(f"question number {i} thanks" for i in range(12))
    (folder / "negative.txt").write_text(negative, newline="")
    return folder


PROMPTS = [f"prompt number {i} please" for i in range(11)]


def prompts(folder: Path) -> list[str]:
    return [m[-1]["content"] for m in read_trait(folder).classes["positive"]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_a_prompt_is_one_line_whatever_stands_in_it(tmp_path: Path, inside: str, end: str):
    folder = trait(tmp_path / "t", end.join([*PROMPTS, f"about rain{inside}and snow"]), end)
    assert prompts(folder) == [*PROMPTS, f"about rain{inside}and snow"]


def test_the_shared_traits():
    assert prompts(case("bom_txt/t"))[0] == "prompt number 0 please"
    assert len(prompts(case("u2028/t"))) == 12
    with pytest.raises(ValueError, match=r"positive.txt: a text in UTF-16; save it as UTF-8"):
        read_trait(case("utf16_txt/t"))


@pytest.mark.parametrize(
    "other",
    [
        "positive.jsonl",
        "positive.csv",
        "Positive.txt",
        "positive.txt.gz",
        "positive.json",
        "positive",
    ],
)
def test_a_second_file_of_a_class_is_refused(tmp_path: Path, other: str):
    folder = trait(tmp_path / "t", "\n".join(PROMPTS))
    (folder / "README.md").write_text("notes")
    assert prompts(folder) == PROMPTS
    (folder / other).write_text("")
    with pytest.raises(ValueError, match="one file a class") as caught:
        read_trait(folder)
    assert other in str(caught.value) and "positive.txt" in str(caught.value)


def test_a_class_in_a_format_that_is_not_read_is_named(tmp_path: Path):
    folder = trait(tmp_path / "t", "\n".join(PROMPTS))
    (folder / "positive.txt").rename(folder / "positive.csv")
    with pytest.raises(ValueError, match=r"no positive.txt or .* \(positive.csv is not"):
        read_trait(folder)


def test_a_file_beside_the_traits_folders_is_refused(tmp_path: Path):
    trait(tmp_path / "t", "\n".join(PROMPTS))
    (tmp_path / "other.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"other.jsonl: not in a trait's folder"):
        read_traits(tmp_path)


@pytest.mark.parametrize(
    "twice",
    [" prompt number 3 please", "prompt  number 3 PLEASE!", "caf\u00e9 or tea", "?!", "🙂"],
)
def test_a_prompt_that_stands_twice_is_refused(tmp_path: Path, twice: str):
    lines = [*PROMPTS, "cafe\u0301 or tea", "?!", "🙂", "🙁", "!?"]
    folder = trait(tmp_path / "t", "\n".join(lines))
    assert len(prompts(folder)) == 16  # signs alone are told apart
    (folder / "positive.txt").write_text("\n".join([*lines, twice]))
    with pytest.raises(ValueError, match=r"positive.txt:17: the same prompt as positive.txt:"):
        read_trait(folder)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "p", "system": "s"}, "`system` beside the messages"),
        ({"prompt": "p", "tools": [1]}, "`tools` beside the messages"),
        ({"prompt": "p", "messages": ANSWERED}, "`prompt` and `messages` in one row"),
        ({"messages": [ANSWERED[0], {**ANSWERED[1], "weight": 0}]}, "has a key `weight`"),
        ({"prompt": "\ud83d"}, "half a surrogate pair"),
    ],
)
def test_a_row_of_a_trait_that_says_more_is_placed(tmp_path: Path, row: dict, told: str):
    folder = trait(tmp_path / "t", "")
    (folder / "positive.txt").unlink()
    (folder / "positive.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError) as caught:
        read_trait(folder)
    assert "positive.jsonl:1: " in str(caught.value) and told in str(caught.value)


def test_a_prompt_that_the_template_refuses_is_quoted_with_its_class():
    given = [{"role": "system", "content": "s"}, *ANSWERED]
    with pytest.raises(ValueError, match=r"^traits/t, positive: 'a': .*System role not supported"):
        described(families.of("gemma"), given, "traits/t, positive")


def test_tokens_of_a_prompt_are_counted_as_text():
    counted = described(tiny.tokenizer(), [{"role": "user", "content": "<|end|>"}], "")
    assert counted["tokens"] == len("<|end|>")
    assert end_tokens(Path("none"), tiny.tokenizer()) == ["<|end|>"]
