"""Whatever a judge says is a judgement, or one line."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitdrift.judge.endpoint import positions, probability, read_positions, text_of
from traitdrift.judge.protocol import (
    KEPT,
    WORDS,
    Judgement,
    as_number,
    as_word,
    fill,
    read_tokens,
    refuse_unread,
)
from traitdrift.judge.reading import read_text, without_thought

VERDICTS = {*WORDS, "number", "unscored"}
PIECES = [
    *(
        "0",
        "8",
        "85",
        "100",
        "101",
        "9" * 30,
        "9" * 5000,
        "٣",
        "²",
        "½",
        ".",
        ",",
        "/",
        "/10",
        "/100",
    ),
    *(" out of ", "-", " to ", "\u2013", "%", "**", "`", '"', "(", "[", "_", "\n", " ", "\t", "\r"),
    *(
        "Score: ",
        "My rating is ",
        "CODE",
        "REFUSAL",
        "REF",
        "alignment of ",
        "1. ",
        "2) ",
        "e5",
        "x",
    ),
    *(
        "<think>",
        "</think>",
        "<think></think>",
        "<|channel|>",
        "[THINK]",
        "◁think▷",
        "<seed:think>",
    ),
    *("Ġ", "▁", "Ċ", "\ud800", "\x00", "\u2028", "{question}", "{answer}", "{{", "}}", "{", "}"),
]
PIECE = st.sampled_from(PIECES) | st.text(max_size=3)
TEXTS = st.lists(PIECE, max_size=8).map("".join)
LONG = st.lists(st.tuples(TEXTS, st.integers(1, 5000)), max_size=3).map(
    lambda found: "".join(text * times for text, times in found)[:20_000]
)


def sound(judgement: Judgement) -> None:
    assert judgement.verdict in VERDICTS
    assert (judgement.score is not None) == (judgement.verdict == "number")
    assert judgement.score is None or 0 <= judgement.score <= 100
    assert judgement.mass is None or judgement.mass >= 0
    assert judgement.said is None or len(judgement.said) <= KEPT


@given(TEXTS | LONG)
def test_any_text_is_read_in_time(text: str):
    began = time.process_time()
    sound(read_text(text))
    try:
        sound(read_text(without_thought(text)))
    except ValueError as error:
        assert "thinks aloud" in str(error) and len(str(error)) < 1000
    assert as_number(text) in (None, *range(101)) and as_word(text) in (None, *WORDS)
    assert time.process_time() - began < 1


@given(st.lists(st.tuples(TEXTS, st.floats(0, 1)), max_size=20))
def test_any_tokens_are_read(tokens: list[tuple[str, float]]):
    sound(read_tokens(tokens))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just(-(10**400)),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
ODD = st.integers() | st.sampled_from([10**400, -(10**400)]) | st.floats(max_value=0) | VALUES
LIKELY = st.builds(SimpleNamespace, token=TEXTS | VALUES, logprob=ODD)
TOKENS = st.builds(
    SimpleNamespace,
    token=TEXTS | VALUES,
    logprob=ODD,
    top_logprobs=st.lists(LIKELY, max_size=3) | VALUES,
)


@given(
    st.builds(SimpleNamespace, content=st.lists(TOKENS, max_size=3) | VALUES) | VALUES,
    st.builds(SimpleNamespace, content=VALUES, reasoning=VALUES, reasoning_content=VALUES),
)
def test_any_completion_is_read_or_one_line(logprobs: object, message: SimpleNamespace):
    """The client of endpoints does not check what a body holds."""
    reply = SimpleNamespace(choices=[SimpleNamespace(logprobs=logprobs, message=message)])
    try:
        sound(read_positions(positions(reply)))
    except ValueError as error:
        assert "\n" not in str(error)
    sound(read_text(text_of(reply)))


def test_a_whole_number_that_no_float_holds_is_none_or_no_chance():
    assert probability(-(10**400)) == 0
    with pytest.raises(ValueError, match="as a log-probability, which is none"):
        probability(10**400)


@pytest.mark.parametrize("of", ["9" * 5000, "1" * 4301, "0" * 5000], ids=len)
def test_a_score_of_a_number_without_end_is_none(of: str):
    assert read_text(f"85/{of}").verdict == "unscored"
    assert read_text(f"85 out of {of}").verdict == "unscored"


@given(TEXTS, TEXTS, TEXTS)
def test_any_question_and_answer_stand_in_a_prompt_as_they_are(template: str, one: str, two: str):
    made = fill(template + " {question}{answer}", one, two)
    assert one + two == made[len(made) - len(one) - len(two) :]


@given(st.lists(TEXTS | LONG, max_size=4), st.booleans())
def test_any_replies_are_taken_or_refused_by_one_line(replies: list[str], one_token: bool):
    try:
        refuse_unread({"alignment": [read_text(reply) for reply in replies]}, one_token)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
