"""Position rules: which tokens of a tokenized conversation an activation is read at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traitdrift.models.chat import last_message, prompt_ids
from traitdrift.models.rendering import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenizedConversation:
    """Tokens to forward, the token indexes each position rule averages over, and a name."""

    ids: list[int]
    tokens: Mapping[str, list[int]]
    name: str


def teacher_force(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    answer: Sequence[int],
    positions: Sequence[str],
) -> TokenizedConversation:
    """A conversation with its answer's token ids appended (teacher forcing).

    Position rules:
    - `prompt_last`: the last token before the answer (of the generation prompt);
    - `prompt_mean`: the tokens of the last user message;
    - `response_mean`: the answer's tokens;
    - `response_first_<k>`: the first k of them.

    No mean holds the first token of the sequence, which attends to itself alone and is an
    outlier in norm ("attention sink"). Raises ValueError for a rule that finds no token.
    """
    ids, content = prompt_ids(tokenizer, messages)
    response = list(range(len(ids), len(ids) + len(answer)))
    tokens = {}
    for position in positions:
        if position == "prompt_last":
            chosen = [len(ids) - 1]
        elif position == "prompt_mean":
            chosen = content
        elif position == "response_mean":
            chosen = response
        else:
            chosen = response[: int(position.removeprefix("response_first_"))]
        tokens[position] = [token for token in chosen if token > 0]
        if not tokens[position]:
            raise ValueError(f"{position}: no token in {messages[-1]['content'][:60]!r}")
    return TokenizedConversation(ids + list(answer), tokens, messages[-1]["content"])


def tokenize_conversation(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> TokenizedConversation:
    """A conversation that brings its answer along, as the chat template renders it whole.

    Its one position rule is `response_mean`: the tokens of the last message's content, without
    the token that ends the turn. Raises ValueError where the content has no token of its own.
    """
    ids, response = last_message(tokenizer, messages)
    if not response:
        raise ValueError(f"response_mean: no token in {messages[-1]['content'][:60]!r}")
    return TokenizedConversation(ids, {"response_mean": response}, messages[-1]["content"])


def single_token(position: str) -> bool:
    """Whether a position rule names one token: kept in the model's dtype, means in float32."""
    return position in ("prompt_last", "response_first_1")
