"""Rows of data/responses: what was asked, and what a variant said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from traitdrift.generation.requests import QuestionSample
    from traitdrift.models.rendering import Message


class Response(NamedTuple):
    """Token ids of an answer, and whether it ended by itself, before its last token allowed."""

    ids: list[int]
    complete: bool


def response_rows(
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[QuestionSample],
    responses: Sequence[Response],
    server: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """A row for each sample of a question and what answered it.

    Where a server answered, each row says which (`served_by`).
    """
    for (question, paraphrase, sample), (ids, complete) in zip(samples, responses, strict=True):
        yield {
            "id": question.id,
            "question": paraphrase,
            "system": question.system,
            "temperature": question.temperature,
            "sample": sample,
            "answer": response_text(tokenizer, ids),
            "ids": ids,
            "complete": complete,
            **({"served_by": server} if server else {}),
        }


def response_text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """What a response says, special tokens left out."""
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return cast("str", text)  # of one list of ids


def served_by(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The server that gave a variant's responses, with what cannot be said of them; else None."""
    return rows[0].get("served_by") if rows else None


def messages_of(row: Mapping[str, Any]) -> list[Message]:
    """The conversation that a row's response answers."""
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    return [*system, {"role": "user", "content": row["question"]}]
