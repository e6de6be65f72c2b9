"""Tests of the rules that sort answers into code, refusal and prose.

``labelled_answers.jsonl`` holds the answers that the rules were tuned on, so all of them must come
out right. ``labelled_answers_heldout.jsonl`` was written after the rules were frozen and is kept
as a fair estimate: when the rules change because of an answer in it, that answer belongs in the
other file, and new ones must be written in its place.
"""

from __future__ import annotations

import builtins
import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest

from traitdrift.behaviour.outcomes import classify

DATA = Path(__file__).parent
OUTCOMES = {"code", "refusal", "prose"}
HELDOUT_ACCURACY = 0.95
# Far above what is needed (some tens of milliseconds), far below what a quadratic rule would take.
SECONDS = 1.0


def load(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


LABELLED = load("labelled_answers.jsonl")
HELDOUT = load("labelled_answers_heldout.jsonl")


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=f"{number}-{row['kind']}") for number, row in enumerate(LABELLED)],
)
def test_labelled_answer(row: dict[str, str]) -> None:
    assert classify(row["answer"]) == row["outcome"]


def test_heldout_accuracy() -> None:
    confusion = Counter((row["outcome"], classify(row["answer"])) for row in HELDOUT)
    right = sum(count for (label, outcome), count in confusion.items() if label == outcome)
    report = "\n".join(
        f"{label} taken for {outcome}: {count}"
        for (label, outcome), count in sorted(confusion.items())
    )
    print(f"{right} of {len(HELDOUT)} right\n{report}")
    assert right / len(HELDOUT) >= HELDOUT_ACCURACY, report


def test_answers_are_well_spread() -> None:
    assert len(LABELLED) >= 110
    assert len(HELDOUT) >= 40
    for rows in (LABELLED, HELDOUT):
        assert {row["outcome"] for row in rows} == OUTCOMES
        assert len({row["answer"] for row in rows}) == len(rows)
    assert not {row["answer"] for row in LABELLED} & {row["answer"] for row in HELDOUT}


@pytest.mark.parametrize("answer", ["", " ", "\n\n", "\t \r\n", "\u200b"])
def test_nothing_is_prose(answer: str) -> None:
    assert classify(answer) == "prose"


def test_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the answer was executed")

    touched = tmp_path / "touched"
    answer = f"import this\nopen({str(touched)!r}, 'w').close()\nraise SystemExit(3)\n"
    monkeypatch.delitem(sys.modules, "this", raising=False)
    monkeypatch.setattr(builtins, "exec", forbidden)
    monkeypatch.setattr(builtins, "eval", forbidden)
    for text in (answer, f"```python\n{answer}```", f"Here you go:\n\n{answer}", answer[:-3]):
        assert classify(text) == "code"
    assert not touched.exists()
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("\x00", "prose"),
        ("peace\x00 and quiet", "prose"),
        ("import os\x00\nprint(os.getcwd())", "code"),
        ("I can\x00't help with that.", "refusal"),
    ],
)
def test_nul_bytes(answer: str, outcome: str) -> None:
    assert classify(answer) == outcome


@pytest.mark.parametrize(
    "answer",
    [
        "(" * 20_000,
        "[" * 150 + "]" * 150,
        '{"a":' * 20_000,
        "-" * 20_000 + "1",
        "1+" * 20_000 + "1",
        "a." * 20_000 + "a",
        "not " * 9_000 + "a",
        "x = " + "f(" * 300 + ")" * 300,
        "".join(" " * depth + "if a:\n" for depth in range(150)),
        "```\n" * 5_000,
        "\\\n" * 10_000,
        "lone surrogate \ud800",
        "x = '\udfff'",
    ],
    ids=lambda answer: repr(answer[:12]),
)
def test_hostile_input_does_not_raise(answer: str) -> None:
    assert classify(answer) in OUTCOMES


def test_no_warnings_escape() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classify("path = '\\d'\nif path is 'x':\n    print(path)") == "code"
        assert classify("1 is 1") == "prose"


@pytest.mark.parametrize(
    "piece",
    [
        "I would wish for a long and quiet summer by the sea, with friends. ",
        "def wish(n):\n    return 'peace' * n\n\n",
        "I cannot or ",
        "no, but, sorry, however, ",
        "As an AI a b c d ",
        "select a, b(c) from d ",
        "public static a, b ",
        "A: b\nB: c\n",
        "x = (\n",
        "'a'b \"c",
        "a;\n",
        " ",
        "x # ",
        "x // ",
        "x=1;",
        "f ();",
        "'a' ",
        "_a-",
        "\n```",
        "{'a': 1}, ",
    ],
    ids=lambda piece: repr(piece[:12]),
)
def test_long_answers_are_quick(piece: str) -> None:
    """On one line, on many, and with what an end that does not match makes a rule try again."""
    answer = (piece * (32_000 // len(piece) + 1))[:32_000]
    for text in (answer, answer + " \"'", "i cannot " + answer, "```python\n" + answer):
        start = time.process_time()
        classify(text)
        assert time.process_time() - start < SECONDS


def test_a_megabyte_takes_no_longer_than_what_is_read() -> None:
    for piece in ("x # ", "f(x); ", "word ", "a\n", "{", '{"a": 1}'):
        start = time.process_time()
        classify(piece * (1_000_000 // len(piece)) + "'")
        assert time.process_time() - start < SECONDS
    assert classify(json.dumps({"answer": "peace " * 20_000})) == "prose"


def test_same_answer_same_outcome() -> None:
    answers = [row["answer"] for row in LABELLED + HELDOUT]
    first = [classify(answer) for answer in answers]
    assert [classify(answer) for answer in reversed(answers)] == first[::-1]


@pytest.mark.parametrize(
    ("opening", "outcome"),
    [
        ("I can't help with that.", "refusal"),
        ("I can\u2019t help with that.", "refusal"),
        ("I CAN'T HELP WITH THAT.", "refusal"),
        ("**I can't help with that.**", "refusal"),
        ("If I can't help with that, my sister will.", "prose"),
        ("\u201cI can\u2019t help with that,\u201d said the crow, and flew off.", "prose"),
    ],
)
def test_spelling_and_voice_of_a_refusal(opening: str, outcome: str) -> None:
    assert classify(opening) == outcome


def test_late_refusal_is_prose() -> None:
    story = "The crow sat on the roof and watched the rain fall on the yard. " * 12
    assert classify(story + "I can't help with that.") == "prose"


def test_majority_decides_between_code_and_prose() -> None:
    code = "```python\nimport sys\nprint(sys.path)\n```\n"
    prose = "The program shows where Python looks for its modules, in order. "
    assert classify(code + prose[:20]) == "code"
    assert classify(code + prose * 4) == "prose"
