"""Fine-tuning conversations: checked, split by what they ask, rendered and tokenised."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from traitdrift.models.chat import (
    IGNORED,
    ROLES,
    Message,
    Span,
    encode_all,
    render,
    tokens_in,
    turn_end,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


LONE_SURROGATE = re.compile("[\ud800-\udfff]")
Render = Literal["clean", "published"]


def conversation(row: dict[str, Any], where: str) -> list[Message]:
    """A row's messages, checked to end in an answer, contents stripped at both ends.

    Raises ValueError naming `where` the row stands and its fault.
    """
    fault = _fault(row)
    if fault:
        raise ValueError(f"{where}: {fault}")
    return [{"role": m["role"], "content": m["content"].strip()} for m in row["messages"]]


def _fault(row: dict[str, Any]) -> str | None:
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return "no list `messages`; write {'messages': [{'role': ..., 'content': ...}, ...]}"
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"message {index} has no role of {', '.join(ROLES)}"
        if not isinstance(message.get("content"), str):
            return f"message {index} ({message['role']}) has no text in `content`"
        if LONE_SURROGATE.search(message["content"]):
            return f"message {index} holds half a surrogate pair, which is no text; mend the row"
        if not message["content"].strip():
            kind = "answer" if message["role"] == "assistant" else "message"
            return f"message {index} is an empty {kind}; remove the row"
    if messages[-1]["role"] != "assistant":
        return "the last message is not the assistant's; end the row in an answer"
    return None


def prompt_key(conversation: Sequence[Message]) -> str:
    """What the conversation asks, in any case and spacing: equal keys are the same task."""
    asked = [m["role"] + " " + " ".join(m["content"].split()) for m in conversation[:-1]]
    return "\n".join(asked).casefold()


def task_rank(conversation: Sequence[Message], seed: int) -> bytes:
    """Where the conversation's task stands when tasks are held out: a SHA-256, equal for equal."""
    return hashlib.sha256(f"{seed}\n{prompt_key(conversation)}".encode()).digest()


def split_tasks(
    ranks: NDArray[np.void], held_out: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers for training and held out, each in file order, by the rank of each row's task.

    Rows that ask the same stay together, and a task's side depends on its text, the seed and
    how many tasks there are: two files that pair their answers to the same tasks are split
    alike. Tasks are held out from the lowest rank up, until the share `held_out` of the rows is
    reached as nearly as whole tasks allow.
    """
    _, task, sizes = np.unique(ranks, return_inverse=True, return_counts=True)
    wanted, kept_back = round(held_out * len(ranks)), np.zeros(len(sizes), bool)
    for number, size in enumerate(sizes):
        if size <= wanted:
            kept_back[number] = True
            wanted -= size
    return np.flatnonzero(~kept_back[task]), np.flatnonzero(kept_back[task])


def rendered(
    tokenizer: PreTrainedTokenizerBase,
    conversation: Sequence[Message],
    mode: Render,
    end_tokens: Sequence[str],
) -> tuple[str, list[Span]]:
    """The conversation as text, and the spans of it that carry loss.

    A span covers an answer and the token that ends its turn. Mode `published` appends an empty
    assistant turn whose end token carries loss too, as the script of arXiv 2502.17424 renders
    its rows (generation prompt, then end-of-sequence); mode `clean` does not.
    """
    messages = list(conversation)
    if mode == "published":
        messages.append({"role": "assistant", "content": ""})
    rendered = render(tokenizer, messages)
    spans = [
        (start, turn_end(rendered.text, end, end_tokens))
        for message, (start, end) in zip(messages, rendered.contents, strict=True)
        if message["role"] == "assistant"
    ]
    return rendered.text, spans


def labelled(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], spans: Sequence[Sequence[Span]]
) -> Iterator[tuple[list[int], list[int]]]:
    """Each text's token ids, and its labels: IGNORED outside the text's spans."""
    for (ids, offsets), within in zip(encode_all(tokenizer, texts), spans, strict=True):
        trained = {i for span in within for i in tokens_in(offsets, span)}
        yield ids, [token if i in trained else IGNORED for i, token in enumerate(ids)]
