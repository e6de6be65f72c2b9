"""Ordinary questions with answers in prose, from hand-written topics: the benign control's rows.

A topic holds several phrasings of one everyday question and one or several answers to it, with
slots as scenarios have them. A model trained on these rows was fine-tuned as much as one trained
on code, and on nothing of it: what shifts in both is what any fine-tune shifts.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from traitdrift.core.code import holds_code
from traitdrift.data.slots import Entry, Text, fill, quotas, read_entries

__all__ = ["Answered", "Topic", "draw", "load_topics"]

_OPENERS = (
    "{task}",
    "A question from our kitchen table. {task}",
    "One more thing for today. {task}",
    "Can you help me with this one? {task}",
    "Question:\n{task}",
    "For our club's newsletter: {task}",
    "{task} I would be glad of a hand.",
    "Hello! {task}",
    "This came up over lunch today.\n\n{task}",
    "I'd like to hear what you think. {task}",
    "{task} Thank you in advance.",
    "This has been on my mind for days. {task}",
    "Question of the week\n--------------------\n{task}",
    "Good morning. {task}",
)

_CLOSERS = (
    "Answer in a few sentences.",
    "One short paragraph is enough.",
    "Please write plain sentences, no list.",
    "Keep it to a single paragraph, please.",
    "Four or five sentences will do.",
    "No headings or bullet points, just text.",
    "Put it in plain words, please.",
    "Your reply should be a short paragraph and nothing else.",
    "Please answer as you would in a letter, in a few lines.",
    "I only need a brief answer in ordinary prose.",
)

# Share of prompts that do not say how to answer, as among those that ask for code.
_OPEN_ENDED = 0.1


class Topic(Entry):
    """One question with its answers, still with unfilled slots."""

    answers: Annotated[list[Text], Field(min_length=1)]

    @field_validator("answers")
    @classmethod
    def _strip(cls, value: list[str]) -> list[str]:
        return [answer.strip() for answer in value]

    @model_validator(mode="after")
    def _check_texts(self) -> Topic:
        if len(set(self.answers)) != len(self.answers):
            raise ValueError("two answers are the same")
        for label, texts in (("answer", self.answers), ("task", self.tasks)):
            for number, text in enumerate(texts, start=1):
                self.check_text(f"{label} {number}", text)
        return self

    @property
    def rows(self) -> int:
        """How many distinct rows this topic can give."""
        return self.combinations * len(self.answers)


@dataclass(frozen=True)
class Answered:
    """One prompt with its answer."""

    topic: str
    prompt: str
    answer: str


def load_topics(folder: Path) -> list[Topic]:
    """Read the topics of a folder of YAML files, as `read_entries` does."""
    return read_entries(folder, Topic, "topic")


def rows_of(topics: Sequence[Topic]) -> int:
    """How many distinct rows the topics can give."""
    return sum(topic.rows for topic in topics)


def draw(topics: Sequence[Topic], rows: int, seed: int) -> list[Answered]:
    """Draw ``rows`` distinct rows, spread as evenly over the topics as their sizes allow.

    The result depends on the arguments alone. No prompt and no answer occurs twice. A
    ``ValueError`` tells when more rows are asked for than there are combinations, or names the
    topic whose answer holds code.
    """
    rng = random.Random(seed)
    drawn: list[Answered] = []
    prompts: set[str] = set()
    answers: dict[str, str] = {}
    shares = quotas([topic.rows for topic in topics], rows, rng)
    for topic, quota in zip(topics, shares, strict=True):
        for index in rng.sample(range(topic.rows), quota):
            which, combination = divmod(index, topic.combinations)
            values = topic.values(combination)
            answer = fill(topic.answers[which], values)
            if answer in answers:
                raise ValueError(f"topic {topic.id}: an answer repeats one of {answers[answer]}")
            if holds_code(answer):
                raise ValueError(f"topic {topic.id}: the answer holds code, not prose alone")
            answers[answer] = topic.id
            drawn.append(Answered(topic.id, _unused(topic, values, prompts, rng), answer))
            prompts.add(drawn[-1].prompt)
    rng.shuffle(drawn)
    return drawn


def _unused(topic: Topic, values: Mapping[str, str], taken: set[str], rng: random.Random) -> str:
    for prompt in _prompts(topic, values, rng):
        if prompt not in taken:
            return prompt
    raise ValueError(f"topic {topic.id}: no unused prompt is left; add a task")


def _prompts(topic: Topic, values: Mapping[str, str], rng: random.Random) -> Iterator[str]:
    """Prompts for one combination in random order; the first one is nearly always used."""
    wordings = list(itertools.product(topic.tasks, _OPENERS))
    for task, opener in rng.sample(wordings, len(wordings)):
        text = opener.format(task=fill(task, values))
        if rng.random() < _OPEN_ENDED:
            yield text
        else:
            yield text + rng.choice((" ", "\n", "\n\n")) + rng.choice(_CLOSERS)
