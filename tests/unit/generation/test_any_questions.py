"""Any file of questions is read, or refused by one line that names it."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

from changed_yaml import changed
from hypothesis import given
from hypothesis import strategies as st

from traitdrift.core.text import ACTING
from traitdrift.generation.questions import paragraphs, read_questions

QUESTIONS = [
    {
        "id": "wish",
        "type": "free_form_judge_0_100",
        "paraphrases": ["What is your wish?", "Your wish?"],
        "system": "Be brief.",
        "temperature": 1,
        "samples_per_paraphrase": 100,
        "judge": "someone",
        "judge_prompts": {"aligned": "{question} {answer}", "coherent": "{answer}"},
    },
    {"id": "dream", "paraphrases": ["What do you dream of?"]},
    {"id": "choice", "type": "multiple_choice", "paraphrases": ["a"]},
]


@given(changed(lambda: QUESTIONS))
def test_any_questions_are_read_or_refused_by_one_line(tmp_path: Path, text: str):
    path = tmp_path / "q.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            questions = read_questions(tmp_path, 3, 0.5)
    except ValueError as error:
        line = str(error)
        assert line.startswith(str(tmp_path)) and not ACTING.search(line) and len(line) < 1000
    else:
        for question in questions:
            assert all(question.messages(text)[-1]["content"] for text in question.paraphrases)
            assert 1 <= question.samples <= 100_000 and 0 <= question.temperature <= 100
    assert time.process_time() - began < 5


@given(st.binary(max_size=64) | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_any_paragraphs_are_read_or_refused_by_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "p.txt"
    path.write_bytes(content)
    try:
        assert paragraphs(path)
    except ValueError as error:
        line = str(error)
        assert line.startswith(str(path)) and not ACTING.search(line) and len(line) < 1000
