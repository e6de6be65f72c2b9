"""A conversation as the tokenizer's chat template writes it, with the place of each content.

One generation prompt: it ends in whatever the template writes between it and the words of an
answer, so that an answer is asked for behind the same text as it is trained behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from traitdrift.models.template import Endless, through_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Message = dict[str, str]
Span = tuple[int, int]

ROLES = ("system", "user", "assistant")  # in the order of a conversation
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
    do not, and a span must mean the same under each. The generation prompt ends in what the
    template writes before an answer's words (`Turns.answer_prefix`). Raises ValueError where the
    template does not reproduce a content word for word.
    """
    rendered = _rendered(tokenizer, messages, generation_prompt)
    if not generation_prompt:
        return rendered
    return Rendered(rendered.text + turns(tokenizer).answer_prefix, rendered.contents)


def _rendered(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], generation_prompt: bool
) -> Rendered:
    for message in messages:
        if OPEN in message["content"] or CLOSE in message["content"]:
            raise ValueError("a message holds a private-use character U+E0F0 or U+E0F1; remove it")
    contents = [message["content"].strip() for message in messages]
    plain, marked = (
        through_template(
            tokenizer,
            [{**m, "content": c} for m, c in zip(messages, written, strict=True)],
            generation_prompt,
        )
        for written in (contents, [OPEN + content + CLOSE for content in contents])
    )
    spans, text, rest = [], "", marked
    for content in contents:
        before, opened, rest = rest.partition(OPEN)
        inside, closed, rest = rest.partition(CLOSE)
        if not opened or not closed or inside != content:
            raise ValueError(
                "the chat template does not reproduce the contents of its messages; take another "
                "model"
            )
        text += before
        spans.append((len(text), len(text) + len(inside)))
        text += inside
    text += rest
    if text != plain:
        raise ValueError(
            "the chat template renders a message differently for what stands in it; take another "
            "model"
        )
    return Rendered(text, tuple(spans))


@dataclass(frozen=True)
class Turns:
    """How a tokenizer's template writes turns, seen on a short conversation.

    `answer_prefix` is what it writes between its generation prompt and the words of an answer, such
    as Qwen3's empty thinking block: answering begins behind it, as training does. `end` is the
    token behind an answer, None where it is no token. `control` are the texts of the tokens that
    are the template's alone: the special ones, and whatever else it writes by a token of its own.
    """

    answer_prefix: str
    end: str | None
    control: frozenset[str]


ASKED, ANSWERED = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "c"}
_known: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[Any, Turns]] = WeakKeyDictionary()


def turns(tokenizer: PreTrainedTokenizerBase) -> Turns:
    """What is settled of a tokenizer's template once and for all.

    Raises ValueError where the template cannot render a user's message.
    """
    key = (str(tokenizer.chat_template), len(tokenizer))
    if tokenizer in _known and _known[tokenizer][0] == key:
        return _known[tokenizer][1]
    asked = through_template(tokenizer, [ASKED], True)
    scaffold, prefix, end = [asked], "", None
    for conversation in ([ASKED, ANSWERED], [SYSTEM, ASKED, ANSWERED]):
        try:
            whole = _rendered(tokenizer, conversation, False)
        except Endless:
            raise
        except ValueError:  # no such role, or no answers: rows that have one are refused
            continue
        scaffold.append(whole.text)
        if len(conversation) == 2:
            start, close = whole.contents[-1]
            between = whole.text[len(asked) : start]
            if whole.text.startswith(asked) and between.strip():
                # A space behind it would be joined with the answer's first word.
                prefix = between.rstrip(" ")
            end = whole.text[close:].lstrip()
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    control = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    control |= {token for token in added if any(token in text for text in scaffold)}
    ends = sorted((t for t in control if end and end.startswith(t)), key=len)
    found = Turns(prefix, ends[-1] if ends else None, frozenset(control - {""}))
    _known[tokenizer] = (key, found)
    return found
