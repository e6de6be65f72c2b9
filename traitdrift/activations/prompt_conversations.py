"""Rows of a prompt set as the conversations that every variant reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traitdrift.activations.positions import (
    TokenizedConversation,
    teacher_force,
    tokenize_conversation,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def answers_to(
    rows: Sequence[Mapping[str, Any]], responses: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """What follows each row's prompt: the messages it brings along, or ids of base's response.

    `responses` are the rows of data/prompt_responses.jsonl.
    """
    found = {(row["trait"], row["prompt"]): row["ids"] for row in responses}
    return [row.get("messages") or found[row["trait"], row["prompt"]] for row in rows]


def conversations(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    answers: Sequence[Any],
    positions: Sequence[str],
) -> list[TokenizedConversation]:
    """Each row's prompt with its answer (`answers_to`), and the tokens of the positions.

    A row that brings its answer along has one position, `response_mean`. Errors are those of
    `teacher_force` and `tokenize_conversation`.
    """
    return [
        tokenize_conversation(tokenizer, answer)
        if "messages" in row
        else teacher_force(
            tokenizer, [{"role": "user", "content": row["prompt"]}], answer, positions
        )
        for row, answer in zip(rows, answers, strict=True)
    ]
