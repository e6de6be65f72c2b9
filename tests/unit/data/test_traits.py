from __future__ import annotations

import json
from pathlib import Path

import pytest

from traitdrift.core.files import write_jsonl
from traitdrift.data.traits import check_lengths, read_trait, read_traits, split_prompts


def write(folder: Path, positive: list, negative: list | None, ending: str = "txt"):
    """Strings are prompts, tuples of strings turns of a conversation, user first."""
    folder.mkdir(parents=True, exist_ok=True)
    for label, examples in (("positive", positive), ("negative", negative)):
        if examples is not None:
            lines = examples if ending == "txt" else [json.dumps(row(e)) for e in examples]
            (folder / f"{label}.{ending}").write_text("\n".join(lines) + "\n")


def row(example: str | tuple[str, ...]) -> dict:
    if isinstance(example, str):
        return {"prompt": example}
    roles = ("user", "assistant") * len(example)
    return {
        "messages": [
            {"role": role, "content": text} for role, text in zip(roles, example, strict=False)
        ]
    }


def last(conversations: list) -> list[str]:
    return [messages[-1]["content"] for messages in conversations]


YES = [f"do {i} now" for i in range(15)]
NO = [f"say {i} now" for i in range(12)]
RUDE = [(f"why {i}?", f"who cares, {i}") for i in range(15)]
KIND = [(f"why {i}?", f"because {i}") for i in range(12)]


def test_text_and_jsonl_folders_read_alike(tmp_path: Path):
    write(tmp_path / "b", YES, NO)
    write(tmp_path / "a", YES, NO, "jsonl")
    a, b = read_traits(tmp_path)
    assert (a.name, b.name) == ("a", "b")
    assert a.classes == b.classes
    assert {label: last(c) for label, c in a.classes.items()} == {"positive": YES, "negative": NO}


def test_answers_are_whole_conversations_stripped_at_both_ends(tmp_path: Path):
    turns = ("hi", "hello", " why? ", "  I will not say\n")
    write(tmp_path / "cold", [turns, *RUDE], KIND, "jsonl")
    first, second = read_trait(tmp_path / "cold").classes["positive"][:2]
    assert first == row(tuple(turn.strip() for turn in turns))["messages"]
    assert second == row(RUDE[0])["messages"]


def test_one_question_may_have_many_answers_and_signs_tell_answers_apart(tmp_path: Path):
    again = [("why 0?", "x != 1"), ("why 0?", "x == 1"), ("why 1?", "x == 1")]
    write(tmp_path / "cold", [*RUDE, *again], KIND, "jsonl")
    assert last(read_trait(tmp_path / "cold").classes["positive"])[-3:] == [a for _, a in again]


@pytest.mark.parametrize(
    ("positive", "negative", "told"),
    [
        (YES, None, "no negative.txt"),
        (YES, NO[:9], "9 prompts; at least 10"),
        ([*YES, "Do 3, now!"], NO, "positive.txt:16: the same prompt as positive.txt:4"),
        (YES, [*NO, "DO 1 now"], "negative.txt:13: the same prompt as positive.txt:2"),
    ],
)
def test_a_wrong_trait_is_named(tmp_path: Path, positive, negative, told: str):
    write(tmp_path / "odd", positive, negative)
    with pytest.raises(ValueError) as caught:
        read_trait(tmp_path / "odd")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("positive", "negative", "told"),
    [
        (RUDE, KIND[:9], "negative.jsonl: 9 answers; at least 10"),
        (
            [*RUDE, ("Why 3?", " who  cares, 3")],
            KIND,
            "positive.jsonl:16: the same answer as positive.jsonl:4 ('who  cares, 3')",
        ),
        (
            RUDE,
            [*KIND, ("another question", "Who cares, 2")],
            "negative.jsonl:13: the same answer as positive.jsonl:3 ('Who cares, 2')",
        ),
        (
            [*YES, RUDE[0]],
            NO,
            "positive.jsonl:16: answers here, but prompts from positive.jsonl:1 on",
        ),
        (RUDE, NO, "negative.jsonl:1: prompts here, but answers from positive.jsonl:1 on"),
        ([*RUDE, ("why?",)], KIND, "positive.jsonl:16: the last message is not the assistant's"),
        ([*RUDE, ("why?", " ")], KIND, "positive.jsonl:16: message 1 is an empty answer"),
    ],
)
def test_a_wrong_trait_of_answers_is_named(tmp_path: Path, positive, negative, told: str):
    write(tmp_path / "odd", positive, negative, "jsonl")
    with pytest.raises(ValueError) as caught:
        read_trait(tmp_path / "odd")
    assert str(caught.value).startswith(str(tmp_path / "odd"))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"messages": [{"role": "narrator", "content": "x"}]}, "message 0 has no role"),
        ({"messages": [{"role": "user"}]}, "message 0 (user) has no text"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "no user's message before"),
        ({"messages": "x"}, "no list `messages`"),
        ({"text": "x"}, "no text in `prompt` and no `messages`"),
    ],
)
def test_a_wrong_line_of_a_trait_of_answers_is_named(tmp_path: Path, line: dict, told: str):
    write(tmp_path / "odd", RUDE, KIND, "jsonl")
    with (tmp_path / "odd/negative.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ValueError) as caught:
        read_trait(tmp_path / "odd")
    assert f"negative.jsonl:13: {told}" in str(caught.value)


def test_names_are_ids_and_jsonl_needs_a_prompt(tmp_path: Path):
    write(tmp_path / "Two Words", YES, NO)
    with pytest.raises(ValueError, match="rename the folder"):
        read_trait(tmp_path / "Two Words")
    write(tmp_path / "x", YES, NO, "jsonl")
    (tmp_path / "x/positive.jsonl").write_text('{"text": "hm"}\n')
    with pytest.raises(ValueError, match=r"positive.jsonl:1: no text in `prompt`"):
        read_trait(tmp_path / "x")


def test_splits_do_not_share_a_prompt_and_small_classes_keep_the_proportion(tmp_path: Path):
    write(tmp_path / "t", YES, NO)
    trait = read_trait(tmp_path / "t")
    sides = split_prompts(trait, 4, 2)
    assert {k: last(v) for k, v in sides["train"].items()} == {
        "positive": YES[:4],
        "negative": NO[:4],
    }
    assert {k: last(v) for k, v in sides["validation"].items()} == {
        "positive": YES[4:6],
        "negative": NO[4:6],
    }
    small = split_prompts(trait, 100, 50)
    assert {k: len(v["negative"]) for k, v in small.items()} == {"train": 8, "validation": 4}


@pytest.mark.parametrize(("train", "validation"), [(6, 4), (8, 4), (8, 7), (100, 50)])
def test_answers_to_one_question_stay_on_one_side(tmp_path: Path, train: int, validation: int):
    """Also where the class that is longer has to be cut, or both have."""
    write(tmp_path / "cold", RUDE, KIND, "jsonl")
    sides = split_prompts(read_trait(tmp_path / "cold"), train, validation)
    asked = {
        side: {
            label: [messages[0]["content"] for messages in conversations]
            for label, conversations in classes.items()
        }
        for side, classes in sides.items()
    }
    for classes in asked.values():
        assert classes["positive"] == classes["negative"] != []
    assert not set(asked["train"]["positive"]) & set(asked["validation"]["negative"])
    assert sum(len(c["negative"]) for c in asked.values()) == min(train + validation, len(KIND))


def test_a_question_that_trains_does_not_validate(tmp_path: Path):
    """Four questions with five answers each, the classes in opposite order."""
    for label, order in (("positive", "abcd"), ("negative", "dcba")):
        rows = [
            {
                "messages": [
                    {"role": "user", "content": f"What of {letter}?"},
                    {"role": "assistant", "content": f"{label} {letter} {number}"},
                ]
            }
            for letter in order
            for number in range(5)
        ]
        write_jsonl(tmp_path / f"said/{label}.jsonl", rows)
    trait = read_trait(tmp_path / "said")
    with pytest.raises(ValueError, match="said: 0 of a class are left to validate"):
        split_prompts(trait, 12, 8)  # a, b, c and d, c, b train
    with pytest.raises(ValueError, match="said: 0 of a class"):
        split_prompts(trait, 8, 8)  # a, b and d, c
    sides = split_prompts(trait, 4, 12)  # a and d: b and c are left, five of each
    left = {c[0]["content"] for side in sides["validation"].values() for c in side}
    assert left == {"What of b?", "What of c?"}
    assert {len(side) for side in sides["validation"].values()} == {10}


def test_classes_of_unequal_length_are_refused():
    check_lengths("t", [10, 12], [11, 11], 0.05)
    with pytest.raises(ValueError, match=r"12.00 tokens on average and negative 11.00"):
        check_lengths("t", [12, 12], [11, 11], 0.05)
