"""Where the prompt of a conversation ends and its answer begins, in text and in tokens.

An answer that trains or is read follows the same tokens as one that is asked for, or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traitdrift.models.encoding import Encoded, encode, encode_all, tokens_in
from traitdrift.models.rendering import Message, Rendered, Span, render, turns
from traitdrift.models.template import through_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# In place of a label: no loss.
IGNORED = -100


def prompt_of(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], index: int, whole: Rendered
) -> Rendered:
    """The beginning of a rendered conversation that asks for its message `index`, an answer.

    It is the rendered conversation before that message, with generation prompt. Raises ValueError
    where the whole conversation does not begin so, or has words between it and the answer.
    """
    if not index:
        raise ValueError("message 0 is an answer to nothing; begin with the user's message")
    asked = through_template(
        tokenizer,
        [{**message, "content": message["content"].strip()} for message in messages[:index]],
        True,
    )
    asked += turns(tokenizer).answer_prefix
    start = whole.contents[index][0]
    if not whole.text.startswith(asked):
        same = next(
            (i for i, (a, b) in enumerate(zip(asked, whole.text, strict=False)) if a != b),
            len(whole.text),
        )
        raise ValueError(
            f"message {index}, an answer, stands behind {whole.text[same:start][:40]!r}, where the "
            f"chat template asks for answers behind {asked[same:][:40]!r}: it would be trained on "
            "another prefix than it is asked for; give answers that this template writes so, or "
            "take another model"
        )
    if whole.text[len(asked) : start].strip():
        raise ValueError(
            f"message {index}, an answer, stands behind {whole.text[len(asked) : start][:40]!r}, "
            "which the chat template's generation prompt has not; give answers that it writes "
            "behind its generation prompt, or take another model"
        )
    return Rendered(whole.text[: len(asked)], whole.contents[:index])


def answer_tokens(prompt: Sequence[int], whole: Encoded, span: Span) -> range:
    """Indexes of an answer's tokens: from the first behind its prompt to the last within a span.

    Raises ValueError where the tokens do not begin with the prompt's: the tokenizer has joined the
    end of the generation prompt with the answer.
    """
    ids, offsets = whole
    inside = tokens_in(offsets, span)
    begins = inside[0] if inside else len(prompt)
    if ids[: len(prompt)] != list(prompt) or begins < len(prompt):
        raise ValueError(
            "the tokenizer joins the end of the generation prompt with the answer, whose first "
            "token could not be asked for alone; change the answer's beginning or the template"
        )
    return range(len(prompt), inside[-1] + 1 if inside else len(prompt))


def last_message(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> tuple[list[int], list[int]]:
    """Ids of a rendered conversation, and the token indexes of its last message.

    The token that ends the turn is not of it, nor are the template's words before it. An answer
    begins where it would be asked for (`prompt_of`).
    """
    whole = render(tokenizer, messages)
    if messages[-1]["role"] != "assistant":
        ids, offsets = encode(tokenizer, whole)
        return ids, tokens_in(offsets, whole.contents[-1])
    prompt = prompt_of(tokenizer, messages, len(messages) - 1, whole)
    encoded, before = encode_all(tokenizer, [whole, prompt])
    span = len(prompt.text), whole.contents[-1][1]
    return encoded[0], list(answer_tokens(before[0], encoded, span))


def turn_end(text: str, content_end: int, end_tokens: Sequence[str]) -> int:
    """Character position behind the end-of-turn token that follows a content.

    The token must follow at once (white space aside): a template that ends turns otherwise would
    teach the model never to stop. Raises ValueError if none does.
    """
    tail = text[content_end:]
    for token in sorted(end_tokens, key=len, reverse=True):
        position = tail.find(token)
        if position >= 0 and not tail[:position].strip():
            return content_end + position + len(token)
    raise ValueError(
        f"the chat template ends an answer with {tail[:20]!r}, not with one of "
        f"{list(end_tokens)}; take another model"
    )


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> tuple[list[int], list[int]]:
    """Ids of a conversation up to the answer, and the token indexes of its last message."""
    rendered = render(tokenizer, messages, generation_prompt=True)
    ids, offsets = encode(tokenizer, rendered)
    return ids, tokens_in(offsets, rendered.contents[-1])


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of a text outside any conversation, as the model reads texts (with its first token)."""
    ids: Mapping[str, Any] = tokenizer(text, split_special_tokens=True)
    return list(ids["input_ids"])
