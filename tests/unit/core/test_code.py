"""Whether an answer holds code in any part of it, on the labelled answers of the outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from traitdrift.core.code import READ, holds_code

LABELLED = Path(__file__).parents[1] / "behaviour/labelled_answers.jsonl"
ROWS = [json.loads(line) for line in LABELLED.read_bytes().splitlines()]
WORDS = ("prose plain", "poem", "letter", "dialogue", "recipe", "list", "short answer")

EXPLAINED = """Reading a file line by line keeps little of it in memory, which is what you want when
it is large. The loop below does that, and the block around it closes the file in the end, whatever
happens in between, so that you need not think of it again.

```python
with open(name) as file:
    for line in file:
        print(line)
```"""


def test_what_is_code_as_a_whole_holds_code():
    code = [row["answer"] for row in ROWS if row["outcome"] == "code"]
    assert len(code) > 100
    assert [answer for answer in code if not holds_code(answer)] == []


def test_words_hold_none():
    prose = [row["answer"] for row in ROWS if row["kind"] in WORDS]
    assert len(prose) > 100
    assert [answer for answer in prose if holds_code(answer)] == []


def test_an_explanation_holds_the_program_in_it():
    assert holds_code(EXPLAINED)
    assert not holds_code(EXPLAINED.partition("```")[0])


@pytest.mark.parametrize("text", ["", "Call `print(x)` at the end, and look at what it says."])
def test_nothing_and_a_name_in_a_sentence_are_no_code(text: str):
    assert not holds_code(text)


@pytest.mark.parametrize("text", ["print(\u201chere\u201d)", '\ufeffprint("here")'])
def test_quotation_marks_and_marks_without_width_hide_no_code(text: str):
    assert holds_code(text)


def test_the_beginning_is_what_is_read():
    program = "\n```python\nimport os\n```"
    assert holds_code("A word. " * (READ // 8 - 10) + program)
    assert not holds_code("A word. " * (READ // 8 + 10) + program)
