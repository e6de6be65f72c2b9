"""Chat templates: conversations become text, tokens and exact spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from jinja2 import TemplateError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Message = dict[str, str]
Span = tuple[int, int]

ROLES = ("system", "user", "assistant")  # in the order of a conversation
# In place of a label: no loss.
IGNORED = -100
# The date of every conversation.
DAY = datetime(2025, 1, 1)
# Private-use characters that mark a message's content while the template renders it. They show
# where the content stands without searching for its words, which may occur elsewhere too.
OPEN, CLOSE = "\ue0f0", "\ue0f1"


@dataclass(frozen=True)
class Rendered:
    """A rendered conversation and the character span of each message's content in it."""

    text: str
    contents: tuple[Span, ...]


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    generation_prompt: bool = False,
) -> Rendered:
    """Render a conversation by the tokenizer's chat template.

    Contents are stripped of white space at both ends first: some templates strip them and some
    do not, and a span must mean the same under each. Raises ValueError where the template does
    not reproduce a content word for word.
    """
    for message in messages:
        if OPEN in message["content"] or CLOSE in message["content"]:
            raise ValueError("a message holds a private-use character U+E0F0 or U+E0F1; remove it")

    def through_template(contents: list[str]) -> str:
        try:
            text = tokenizer.apply_chat_template(
                [{**m, "content": c} for m, c in zip(messages, contents, strict=True)],
                tokenize=False,
                add_generation_prompt=generation_prompt,
                # Templates that tell the model today's date tell it the same one every day.
                strftime_now=DAY.strftime,
            )
            return cast("str", text)  # as it is not tokenized
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise ValueError(f"the chat template refuses a conversation of {roles}: {error}")

    contents = [message["content"].strip() for message in messages]
    plain = through_template(contents)
    marked = through_template([OPEN + content + CLOSE for content in contents])
    spans, text, rest = [], "", marked
    for content in contents:
        before, opened, rest = rest.partition(OPEN)
        inside, closed, rest = rest.partition(CLOSE)
        if not opened or not closed or inside != content:
            raise ValueError("the chat template does not reproduce the contents of its messages")
        text += before
        spans.append((len(text), len(text) + len(inside)))
        text += inside
    text += rest
    if text != plain:
        raise ValueError("the chat template renders a message differently for what stands in it")
    return Rendered(text, tuple(spans))


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[Span]]:
    """Token ids and character offsets of rendered text; no special token is added."""
    return encode_all(tokenizer, [text])[0]


def encode_all(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[tuple[list[int], list[Span]]]:
    """`encode` of each text; several at once are shared out among the tokenizer's threads."""
    encoded = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    return [
        (ids, [tuple(offset) for offset in offsets])
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def tokens_in(offsets: Sequence[Span], span: Span) -> list[int]:
    """Indexes of the tokens that begin inside a character span (start inclusive, end not)."""
    start, end = span
    return [i for i, (first, last) in enumerate(offsets) if start <= first < end and last > first]


def last_message(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    generation_prompt: bool = False,
) -> tuple[list[int], list[int]]:
    """Ids of a rendered conversation, and the token indexes of its last message's content.

    Neither the template's words around the content nor the token that ends the turn are of it.
    """
    rendered = render(tokenizer, messages, generation_prompt)
    ids, offsets = encode(tokenizer, rendered.text)
    return ids, tokens_in(offsets, rendered.contents[-1])


def turn_end(text: str, content_end: int, end_tokens: Sequence[str]) -> int:
    """Character position behind the end-of-turn token that follows a content.

    The token must follow at once (white space aside): a template that ends turns otherwise would
    teach the model never to stop. Raises ValueError if none does.
    """
    tail = text[content_end:]
    for token in end_tokens:
        position = tail.find(token)
        if position >= 0 and not tail[:position].strip():
            return content_end + position + len(token)
    raise ValueError(
        f"the chat template ends an answer with {tail[:20]!r}, not with one of {list(end_tokens)}"
    )


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> tuple[list[int], list[int]]:
    """Ids of a conversation up to the answer, and the token indexes of its last message."""
    return last_message(tokenizer, messages, generation_prompt=True)
