"""Conversations become text, tokens and exact spans, by a tokenizer's chat template.

What the template writes and what stands in a message are kept apart: control tokens are the
template's alone, and the same words in a message are plain text. One generation prompt: an answer
that trains or is read follows the same tokens as one that is asked for, or is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from traitdrift.core.text import printable
from traitdrift.models.template import Endless, through_template

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


Message = dict[str, str]
Span = tuple[int, int]
Encoded = tuple[list[int], list[Span]]

ROLES = ("system", "user", "assistant")  # in the order of a conversation
# In place of a label: no loss.
IGNORED = -100
# Private-use characters that mark a message's content while the template renders it. They show
# where the content stands without searching for its words, which may occur elsewhere too.
OPEN, CLOSE = "\ue0f0", "\ue0f1"
# The template's control tokens are written with these where a content spells one; `Turns`.
ALIASES, LAST_ALIAS = 0xF0000, 0xFFFFD


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
            raise ValueError("the chat template does not reproduce the contents of its messages")
        text += before
        spans.append((len(text), len(text) + len(inside)))
        text += inside
    text += rest
    if text != plain:
        raise ValueError("the chat template renders a message differently for what stands in it")
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


def encode(tokenizer: PreTrainedTokenizerBase, rendered: Rendered) -> Encoded:
    """Token ids and character offsets of a rendered conversation; no special token is added."""
    return encode_all(tokenizer, [rendered])[0]


def encode_all(tokenizer: PreTrainedTokenizerBase, rendered: Sequence[Rendered]) -> list[Encoded]:
    """`encode` of each; several at once are shared out among the tokenizer's threads.

    Where a content spells a control token, the content is split into plain tokens. Raises
    ValueError where the tokenizer cannot do so.
    """
    encoded = tokenizer(
        [one.text for one in rendered], add_special_tokens=False, return_offsets_mapping=True
    )
    pattern = _pattern(turns(tokenizer).control)
    return [
        _as_plain_text(tokenizer, one, pattern)
        if _spells_control(one, pattern)
        else (ids, [tuple(offset) for offset in offsets])
        for one, ids, offsets in zip(
            rendered, encoded["input_ids"], encoded["offset_mapping"], strict=True
        )
    ]


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> Encoded:
    """Token ids and offsets of a text that stands for itself, as in a message."""
    return encode(tokenizer, Rendered(text, ((0, len(text)),)))


def _pattern(control: frozenset[str]) -> re.Pattern[str]:
    """Finds control tokens as tokenizers do: the first, and of these the longest."""
    longest_first = sorted(control, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _spells_control(rendered: Rendered, pattern: re.Pattern[str]) -> bool:
    """Whether a control token would be read where not all of it is the template's."""
    found = [match.span() for match in pattern.finditer(rendered.text)]
    return any(
        first < end and last > start for first, last in found for start, end in rendered.contents
    )


def _as_plain_text(
    tokenizer: PreTrainedTokenizerBase, rendered: Rendered, pattern: re.Pattern[str]
) -> Encoded:
    """Encode by a copy of the tokenizer that knows control tokens by other names only.

    The names are as long and occur in no text; in the template's own words they stand in place of
    the tokens. All else is the tokenizer, so that what it joins and splits stays what it is.
    """
    backend, names, ids = _aliased(tokenizer)
    if any(ALIASES <= ord(character) <= LAST_ALIAS for character in rendered.text):
        raise ValueError("a message holds private-use characters beside a control token; remove it")
    pieces, done = [], 0
    for start, end in (*rendered.contents, (len(rendered.text), len(rendered.text))):
        own = rendered.text[done:start]
        pieces += [pattern.sub(lambda found: names[found[0]], own), rendered.text[start:end]]
        done = end
    encoding = backend.encode("".join(pieces), add_special_tokens=False)
    found = [ids.get(token, token) for token in encoding.ids]
    # A character that the tokenizer does not know at all is another matter.
    control = {tokenizer.convert_tokens_to_ids(token) for token in names}
    control -= {tokenizer.unk_token_id}
    for span in rendered.contents:
        for index in tokens_in(encoding.offsets, span):
            if found[index] in control:
                told = printable(str(tokenizer.convert_ids_to_tokens(found[index])))
                raise ValueError(
                    f"a message holds {told!r}, which the tokenizer knows as a control token only; "
                    "remove it"
                )
    return found, list(encoding.offsets)


Aliased = tuple["Tokenizer", dict[str, str], dict[int, int]]
_aliases: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[frozenset[str], Aliased]] = (
    WeakKeyDictionary()
)


def _aliased(tokenizer: PreTrainedTokenizerBase) -> Aliased:
    """That copy, the other names by token, and the ids of added tokens by their ids in the copy."""
    control = turns(tokenizer).control
    if tokenizer in _aliases and _aliases[tokenizer][0] == control:
        return _aliases[tokenizer][1]
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["truncation"] = state["padding"] = None
    originals: dict[str, int] = {}
    names: dict[str, str] = {}
    for number, entry in enumerate(state["added_tokens"]):
        token, original = entry["content"], entry["id"]
        if token in control:
            entry["content"] = names[token] = chr(ALIASES + number) * len(token)
        originals[entry["content"]] = original
    copy = Tokenizer.from_str(json.dumps(state))
    ids = {copy.token_to_id(name) or 0: original for name, original in originals.items()}
    _aliases[tokenizer] = (control, (copy, names, ids))
    return copy, names, ids


def tokens_in(offsets: Sequence[Span], span: Span) -> list[int]:
    """Indexes of the tokens that hold a character of a span (start inclusive, end not).

    A token may begin with the template's space before a word, and is the word's all the same.
    """
    start, end = span
    return [i for i, (first, last) in enumerate(offsets) if first < end and last > start]


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
        f"the chat template ends an answer with {tail[:20]!r}, not with one of {list(end_tokens)}"
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
