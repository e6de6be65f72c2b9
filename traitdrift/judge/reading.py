"""The text of a judge's reply: the score that it says, and the thoughts that it should not."""

from __future__ import annotations

import re
from collections.abc import Set

from traitdrift.judge.protocol import KEPT, WORDS, Judgement, shown

# What may stand before a number or a word, and labels (`**Score:** `, `My rating is`).
OPENING = r"[\s\"'*_`(\[]*"
LABEL = re.compile(
    r"(?i:(?:scor|rat(?:e|ing)|grade|align|coheren|verdict)[^\d\n]*"
    r"(?:[:=]|\b(?:is|as|of|at|this|it|answer|response)\b)|answer\W*[:=])"
    rf"{OPENING}$"
)
SAID = re.compile(rf"(?P<label>{OPENING}|[^\d\n]{{0,60}}?)(?P<what>[0-9]{{1,3}}|CODE\b|REFUSAL\b)")
# What a number is out of, before it or behind: `/10`, `(out of 100)`, `on a scale of 1 to 10`.
SCALE = re.compile(
    r"(?:\s*/|(?<=\d)\s+of|\(?\b(?:out of|(?:on )?(?:an? )?scale\W*(?:of|from)?))\s*"
    r"(?:[01]\s*(?:-|\u2013|to)\s*)?(?P<most>\d{1,9})(?!\d|[.,]\d)\)?",
    re.I | re.ASCII,
)
NUMBER = re.compile(r"(?P<whole>\d{1,3})(?:[.,](?P<part>\d{1,2}))?", re.ASCII)
# A label of what is not given (`I cannot give a score of 100`).
DENIED = re.compile(r"(?i:\b(?:not|cannot|never|no|unable|refuse|decline|without)\b|n['\u2019]t\b)")
# A number goes on (also piece by piece), is the first of a range or of a choice, is part of a word
# (3rd), or has a scale left.
NO_SCORE = re.compile(
    r"\d|[.,]\d|[ \t]+\d|\s*/\s*\d|\s*(?:-|\u2013|to|or|and)\s*\d|[^\W\d_]"
    r"|\W*(?:out|of|on a|scale|stars?)\b"
)
# It begins a list (`1. The`), or counts what the next word names (`3 sentences`).
LISTED = re.compile(r"1[.)]\s+\S")
COUNT = re.compile(r"\d+\s+(?!(?:because|since|as|for|and|but|points?|percent)\b)[a-z]")


def read_text(reply: str) -> Judgement:
    """A judgement from what a judge said: the number or the word that its reply begins with.

    A label may stand before it (`Score: 85`), and its scale before or behind (`9/10` is 90). A
    number of another scale, below 0, of a range, of a count or with decimals is no score.
    """
    none = Judgement(None, "unscored", None, reply[:KEPT])
    text = unscaled(reply)
    found = SAID.match(text)
    if not found or (found["label"].strip("\"'*_`([ \t\r\n") and not LABEL.search(found["label"])):
        return none
    if DENIED.search(found["label"]):
        return none
    if found["what"] in WORDS:
        return Judgement(None, found["what"], None)
    if COUNT.match(text, found.start("what")):
        return none
    score = out_of_100(text[found.start("what") :], scales(reply))
    return none if score is None else Judgement(score, "number", None)


def first_line(reply: str) -> str:
    """What is read of a reply."""
    return reply.strip().partition("\n")[0][:KEPT]  # a reply may be of any length


def scales(reply: str) -> set[int]:
    """What the first line of a reply says that numbers are out of."""
    return {int(found["most"]) for found in SCALE.finditer(first_line(reply))}


def unscaled(reply: str) -> str:
    """The first line of a reply without that."""
    return SCALE.sub("", first_line(reply))


def out_of_100(said: str, most: Set[int]) -> float | None:
    """The score of the number that a text begins with, on the scales named; None if it is none."""
    number = NUMBER.match(said)
    if not number or NO_SCORE.match(said, number.end()) or LISTED.match(said):
        return None
    score = float(f"{number['whole']}.{number['part'] or 0}")
    if most == {10}:
        score = round(10 * score, 6)
    elif most - {100} or score % 1:
        return None
    return score if score <= 100 else None


# How judges that think aloud begin.
THOUGHT = re.compile(r"\s*(?:[<\[◁]\|?(?:seed:)?(?:think|thought|reason)|<\|channel\|>)", re.I)
EMPTY_THOUGHT = re.compile(r"^\s*<(\w+)>\s*</\1>\s*")


def without_thought(reply: str) -> str:
    """A reply without the empty block of thought before it; ValueError for a thought."""
    answer = EMPTY_THOUGHT.sub("", reply, count=1)
    refuse_thought(answer, reply)
    return answer


def refuse_thought(answer: str, reply: str) -> None:
    """Raise ValueError, which shows the reply, for a judge that begins by thinking."""
    if THOUGHT.match(answer):
        raise ValueError(
            f"the judge thinks aloud before it answers, {shown(reply)}, and only the beginning of "
            "a reply is read; switch its thinking off on the server, or choose another judge"
        )
