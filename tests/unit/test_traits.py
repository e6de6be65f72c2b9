from __future__ import annotations

import json
from pathlib import Path

import pytest

from traitdrift.traits import check_lengths, read_trait, read_traits, split


def write(folder: Path, positive: list[str], negative: list[str] | None, ending: str = "txt"):
    folder.mkdir(parents=True, exist_ok=True)
    for label, prompts in (("positive", positive), ("negative", negative)):
        if prompts is not None:
            lines = [json.dumps({"prompt": p}) for p in prompts] if ending == "jsonl" else prompts
            (folder / f"{label}.{ending}").write_text("\n".join(lines) + "\n")


YES = [f"do {i} now" for i in range(15)]
NO = [f"say {i} now" for i in range(12)]


def test_text_and_jsonl_folders_read_alike(tmp_path: Path):
    write(tmp_path / "b", YES, NO)
    write(tmp_path / "a", YES, NO, "jsonl")
    a, b = read_traits(tmp_path)
    assert (a.name, b.name) == ("a", "b")
    assert a.prompts == b.prompts == {"positive": YES, "negative": NO}


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
    sides = split(trait, 4, 2)
    assert sides["train"] == {"positive": YES[:4], "negative": NO[:4]}
    assert sides["validation"] == {"positive": YES[4:6], "negative": NO[4:6]}
    small = split(trait, 100, 50)
    assert {k: len(v["negative"]) for k, v in small.items()} == {"train": 8, "validation": 4}


def test_classes_of_unequal_length_are_refused():
    check_lengths("t", [10, 12], [11, 11], 0.05)
    with pytest.raises(ValueError, match=r"12.00 tokens on average and negative 11.00"):
        check_lengths("t", [12, 12], [11, 11], 0.05)
