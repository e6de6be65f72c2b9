"""How many tokens a model reads: what is longer is refused before it is forwarded.

Beyond its window a model of learned positions fails, and one of rotary positions answers worse
and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def window(config: Any) -> int | None:
    """The most tokens of a sequence, of a model's config; None where it names no bound."""
    text = config.get_text_config()
    for name in ("max_position_embeddings", "max_seq_len", "n_positions", "max_sequence_length"):
        room = getattr(text, name, None)
        if isinstance(room, int) and room > 0:
            return room
    return None


def window_of(base: Path) -> int | None:
    """The same of a model's folder."""
    from traitdrift.models.from_files import config_of

    return window(config_of(base))


def refuse_longer(model: PreTrainedModel, lengths: Iterable[tuple[str, int, int]]) -> None:
    """Raise ValueError for the longest of some sequences if the model's window cannot hold it.

    Each is its name, its tokens, and how many are to follow; the last token that follows is read
    by nobody.
    """
    room = window(model.config)
    if room is None:
        return
    for name, tokens, more in sorted(lengths, key=lambda one: -one[1] - one[2])[:1]:
        if tokens + max(more - 1, 0) > room:
            following = f" and {more} to follow" if more else ""
            raise ValueError(
                f"{name[:60]!r} takes {tokens} tokens{following}, and the model reads {room}; "
                f"shorten it{' or lower max_tokens' if more else ''}, or take another model"
            )
