"""Rows of data/responses: what was asked, and what a variant said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from traitdrift.generation.requests import QuestionSample
    from traitdrift.models.chat import Message


def response_rows(
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[QuestionSample],
    responses: Sequence[list[int]],
    max_tokens: int,
) -> Iterator[dict[str, Any]]:
    """A row for each sample of a question and the token ids that answered it.

    `complete` says whether the response ended by itself, before `max_tokens`.
    """
    for (question, paraphrase, sample), ids in zip(samples, responses, strict=True):
        yield {
            "id": question.id,
            "question": paraphrase,
            "system": question.system,
            "temperature": question.temperature,
            "sample": sample,
            "answer": response_text(tokenizer, ids),
            "ids": ids,
            "complete": len(ids) < max_tokens,
        }


def response_text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """What a response says, special tokens left out."""
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return cast("str", text)  # of one list of ids


def messages_of(row: Mapping[str, Any]) -> list[Message]:
    """The conversation that a row's response answers."""
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    return [*system, {"role": "user", "content": row["question"]}]
