"""Evaluation questions as sampling requests: question, wording and sample, each with its seed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.questions import Question
from traitdrift.models.chat import prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class QuestionSample(NamedTuple):
    """One wording of a question, asked for the `sample`-th time."""

    question: Question
    paraphrase: str
    sample: int


def question_samples(
    questions: Iterable[Question], samples: int | None = None
) -> list[QuestionSample]:
    """Every wording of every question, `samples` times each (None: as often as it says itself)."""
    return [
        QuestionSample(question, paraphrase, sample)
        for question in questions
        for paraphrase in question.paraphrases
        for sample in range(question.samples if samples is None else samples)
    ]


def sampling_requests(
    tokenizer: PreTrainedTokenizerBase, questions: Iterable[QuestionSample], seed: int
) -> list[SamplingRequest]:
    """The request of each: its rendered prompt, its temperature, and a seed of its own.

    Raises ValueError that names the question which the chat template cannot render.
    """
    return [
        SamplingRequest(
            ids=question_ids(tokenizer, one),
            temperature=one.question.temperature,
            seed=seed_name(one, seed),
            prompt=one.paraphrase,
            source=one.question.source,
        )
        for one in questions
    ]


def question_ids(tokenizer: PreTrainedTokenizerBase, asked: QuestionSample) -> list[int]:
    """Ids of a wording's rendered prompt."""
    try:
        return prompt_ids(tokenizer, asked.question.messages(asked.paraphrase))[0]
    except ValueError as error:
        raise ValueError(f"question {asked.question.id}: {error}")


def seed_name(asked: QuestionSample, seed: int) -> str:
    """The name of a sample's seed: of the question, and not of who answers.

    So every variant and every intervention draws the same noise, and common random numbers narrow
    their comparison.
    """
    return f"{seed}|{asked.question.id}|{asked.paraphrase}|{asked.sample}"
