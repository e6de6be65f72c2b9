"""Fine-tuning conversations: check, split, render. One JSON object `{"messages": [...]}` a line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from traitdrift.core.files import read_jsonl
from traitdrift.models.chat import Message, encode, render, tokens_in, turn_end

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


ROLES = ("system", "user", "assistant")
Render = Literal["clean", "published"]


def read_conversations(path: Path) -> list[list[Message]]:
    """Read and check a `.jsonl` or `.jsonl.gz` file of conversations that end in an answer.

    Raises ValueError naming file, line and fault.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file; set datasets.<id>.file to a JSONL file")
    conversations = [conversation(row, f"{path}:{number}") for number, row in read_jsonl(path)]
    if not conversations:
        raise ValueError(f"{path}: no conversation in it")
    return conversations


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


def split_tasks(
    conversations: Sequence[Sequence[Message]], held_out: float, seed: int
) -> tuple[list[int], list[int]]:
    """Row numbers for training and held out, each in file order.

    Rows that ask the same stay together, and a task's side depends on its text, the seed and
    how many tasks there are: two files that pair their answers to the same tasks are split
    alike. Tasks are ranked by a hash and held out from the lowest up, until the share
    `held_out` of the rows is reached as nearly as whole tasks allow.
    """
    tasks: dict[str, list[int]] = {}
    for row, conversation in enumerate(conversations):
        tasks.setdefault(prompt_key(conversation), []).append(row)

    def rank(key: str) -> str:
        return hashlib.sha256(f"{seed}\n{key}".encode()).hexdigest()

    wanted = round(held_out * len(conversations))
    kept_back: set[int] = set()
    for key in sorted(tasks, key=rank):
        if len(kept_back) + len(tasks[key]) <= wanted:
            kept_back.update(tasks[key])
    everything = range(len(conversations))
    return [r for r in everything if r not in kept_back], sorted(kept_back)


def rendered_row(
    tokenizer: PreTrainedTokenizerBase,
    conversation: Sequence[Message],
    mode: Render,
    end_tokens: Sequence[str],
) -> dict[str, Any]:
    """The conversation with its rendered text, the spans that carry loss, and token counts.

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
    ids, offsets = encode(tokenizer, rendered.text)
    return {
        "messages": list(conversation),
        "text": rendered.text,
        "spans": [list(span) for span in spans],
        "tokens": len(ids),
        "answer_tokens": sum(len(tokens_in(offsets, span)) for span in spans),
    }
