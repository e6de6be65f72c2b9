"""Fine-tuning conversations: checked, split by what they ask, rendered and tokenised."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from traitdrift.core.text import LONE_SURROGATE, printable
from traitdrift.models.chat import IGNORED, answer_tokens, prompt_of, turn_end
from traitdrift.models.encoding import encode_all
from traitdrift.models.rendering import ROLES, Message, Rendered, Span, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Render = Literal["clean", "published"]
# Keys of a row that say, in one program or another, what trains or on what: none is honoured here,
# and without it something else would train. So is a key with one of the words, however it is
# spelled (`messageWeights`). Other keys of a row are its user's notes.
MEANT = frozenset(
    (
        *("tools", "functions", "tool_calls", "function_call", "tool_choice", "tool_config"),
        *("parallel_tool_calls", "response_format", "documents", "reasoning_effort"),
        *("system", "system_prompt", "weight", "weights", "loss_weight", "sample_weight", "mask"),
        *("loss_mask", "train", "train_detail", "train_on_input", "train_on_turn", "trainable"),
        *("chat_template", "chat_template_kwargs", "template_kwargs", "enable_thinking"),
        *("images", "image", "videos", "video", "audios", "audio"),
        *("conversations", "conversation", "developer", "labels", "add_generation_prompt"),
        *("continue_final_message", "function_calls", "system_message", "system_instruction"),
    )
)
MEANT_WORDS = frozenset(
    (
        *("weight", "weights", "weighting", "mask", "masks", "masked", "loss", "losses"),
        *("train", "trains", "trained", "training", "trainable", "tools", "functions", "thinking"),
    )
)
# Keys of a message that are notes. Any other would have been given to the chat template, or weighs
# the message, in the program that the row was written for.
NOTES = frozenset(
    ("id", "uuid", "index", "created_at", "timestamp", "metadata", "source", "language", "lang")
)


def conversation(row: dict[str, Any], where: str) -> list[Message]:
    """A row's messages, checked to end in an answer, contents stripped at both ends.

    Raises ValueError naming `where` the row stands and its fault.
    """
    fault = _fault(row)
    if fault:
        raise ValueError(f"{where}: {fault}")
    return [{"role": m["role"], "content": m["content"].strip()} for m in row["messages"]]


def meant(key: str) -> bool:
    """Whether a row's key says what trains or on what: a name of MEANT, or one of the words."""
    words = [word.lower() for word in WORD.findall(key)]
    return "_".join(words) in MEANT or not MEANT_WORDS.isdisjoint(words)


WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def unheeded(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row's own keys: one that means something and is not honoured."""
    for key in sorted(filter(meant, row)):
        weighs = key.lower().endswith(("weight", "train"))
        if given(row[key]) and not (weighs and neutral(row[key])):
            return (
                f"`{printable(key)}` beside the messages is not honoured, and would change what is "
                "trained; remove the key, or the row"
            )
    return None


def given(value: Any) -> bool:
    """Whether a value says anything: tables fill the columns that a row lacks with nothing."""
    ahead = [value]  # not by calling itself, for JSON may nest deeper than calls may
    while ahead:
        found = ahead.pop()
        if isinstance(found, Mapping):
            ahead += found.values()
        elif found is not None and found not in ("", []):
            return True
    return False


def neutral(weight: Any) -> bool:
    """Whether a weight is the one that every message has anyway."""
    return weight in (1, "1", "1.0", "true", "True")


def _fault(row: dict[str, Any]) -> str | None:
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return "no list `messages`; write {'messages': [{'role': ..., 'content': ...}, ...]}"
    fault = unheeded(row)
    if fault:
        return fault
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"message {index} has no role of {', '.join(ROLES)}"
        for key, value in message.items():
            harmless = not given(value) or key in NOTES
            if key in ("role", "content") or harmless:
                continue
            if not (key in ("weight", "train") and neutral(value)):
                return (
                    f"message {index} ({message['role']}) has a key `{printable(str(key))[:80]}` "
                    f"({printable(str(value))[:40]}), which is not honoured; remove the key, or "
                    "the row"
                )
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


@dataclass(frozen=True)
class TrainingText:
    """A conversation as text, the spans of it that carry loss, and what asks for each of them.

    A span begins behind the generation prompt and holds an answer with the token that ends its
    turn; `prompts` are the beginnings of the text up to each span.
    """

    whole: Rendered
    spans: list[Span]
    prompts: list[Rendered]

    @property
    def text(self) -> str:
        return self.whole.text


def rendered(
    tokenizer: PreTrainedTokenizerBase,
    conversation: Sequence[Message],
    mode: Render,
    end_tokens: Sequence[str],
) -> TrainingText:
    """The conversation as text that trains.

    Mode `published` appends an empty assistant turn whose end token carries loss too, as the
    script of arXiv 2502.17424 renders its rows (generation prompt, then end-of-sequence); mode
    `clean` does not. Raises ValueError where an answer does not follow the generation prompt, or
    no token of `end_tokens` follows it.
    """
    messages = list(conversation)
    if mode == "published":
        messages.append({"role": "assistant", "content": ""})
    whole = render(tokenizer, messages)
    spans, prompts = [], []
    for index, (message, (_, end)) in enumerate(zip(messages, whole.contents, strict=True)):
        if message["role"] == "assistant":
            prompts.append(prompt_of(tokenizer, messages, index, whole))
            spans.append((len(prompts[-1].text), turn_end(whole.text, end, end_tokens)))
    return TrainingText(whole, spans, prompts)


def labelled(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[TrainingText], places: Sequence[str]
) -> Iterator[tuple[list[int], list[int]]]:
    """Each text's token ids, and its labels: IGNORED outside the answers' tokens.

    The first label of an answer is the first token behind the tokens of its generation prompt.
    Raises ValueError that begins with the text's place where the tokenizer does not part them.
    """
    flat = [part for text in texts for part in (text.whole, *text.prompts)]
    try:
        encoded = iter(encode_all(tokenizer, flat))
    except ValueError:  # of one among many: each by itself, to tell which
        encoded = (one for part in flat for one in encode_all(tokenizer, [part]))
    for text, place in zip(texts, places, strict=True):
        try:
            whole = next(encoded)
            trained = {
                index
                for span in text.spans
                for index in answer_tokens(next(encoded)[0], whole, span)
            }
        except ValueError as error:
            raise ValueError(f"{place}: {error}")
        yield whole[0], [t if i in trained else IGNORED for i, t in enumerate(whole[0])]
