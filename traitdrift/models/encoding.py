"""Rendered conversations become token ids with their character offsets.

What the template writes and what stands in a message are kept apart: control tokens are the
template's alone, and the same words in a message are plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from traitdrift.core.complaints import panic
from traitdrift.core.text import printable
from traitdrift.models.rendering import Rendered, Span, turns

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


Encoded = tuple[list[int], list[Span]]
# The template's control tokens are written with these where a content spells one.
ALIASES, LAST_ALIAS = 0xF0000, 0xFFFFD


def encode(tokenizer: PreTrainedTokenizerBase, rendered: Rendered) -> Encoded:
    """Token ids and character offsets of a rendered conversation; no special token is added."""
    return encode_all(tokenizer, [rendered])[0]


def encode_all(tokenizer: PreTrainedTokenizerBase, rendered: Sequence[Rendered]) -> list[Encoded]:
    """`encode` of each; several at once are shared out among the tokenizer's threads.

    Where a content spells a control token, the content is split into plain tokens. Raises
    ValueError where the tokenizer cannot do so.
    """
    with _one_line(tokenizer):
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


@contextmanager
def _one_line(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """What the library says of a text that the tokenizer has no tokens for, or of its own files.

    Some tokenizers of words or pieces have no token for what they do not know.
    """
    try:
        yield
    except BaseException as error:
        if not panic(error) and type(error) is not Exception:  # it has no class of its own
            raise
        raise ValueError(
            f"{tokenizer.name_or_path}: the tokenizer cannot split a text "
            f"({printable(str(error))[:300]}); take a model whose tokenizer knows every text, or "
            "mend tokenizer.json"
        )


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
    with _one_line(tokenizer):
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
