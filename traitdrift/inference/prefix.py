"""What the sequences of a batch begin with alike, forwarded once for all of them.

A chat template writes the same tokens before every question, as many as a short question has
itself. Their keys and values are computed for one row and read by all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from traitdrift.inference.batching import padded
from traitdrift.inference.hooks import core

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Fewer shared tokens than these are not worth a pass of their own.
FEWEST = 8


@dataclass(frozen=True)
class Prefix:
    """The first `length` tokens of every sequence, and what attention reads of them."""

    length: int = 0
    cache: Any = None


@torch.inference_mode()
def shared_prefix(model: PreTrainedModel, sequences: Sequence[Sequence[int]], first: int) -> Prefix:
    """What sequences share before token `first`, the first whose stream somebody looks at.

    An empty one where that is too little, or where a layer keeps anything else than keys and
    values (a recurrent state, a sliding window, an index).
    """
    one, other = min(map(list, sequences)), max(map(list, sequences))  # the least alike of all
    alike = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    length = min(next(alike, min(len(one), len(other))), first)
    if len(sequences) < 2 or length < FEWEST:
        return Prefix()
    ids = torch.tensor([sequences[0][:length]], device=model.device)
    cache = getattr(core(model).base_model(input_ids=ids, use_cache=True), "past_key_values", None)
    return Prefix(length, _read_by_all(cache)) if _plain(cache) else Prefix()


def forward_rest(
    model: PreTrainedModel, sequences: Sequence[Sequence[int]], prefix: Prefix, pad: int
) -> None:
    """Forward what follows the prefix, padded on the right, without the vocabulary head.

    Hooks on the blocks see `[sequence, token, hidden]` from token `prefix.length` on.
    """
    ids, mask = padded([sequence[prefix.length :] for sequence in sequences], pad)
    mask = torch.cat([mask.new_ones(len(mask), prefix.length), mask], dim=1)
    core(model).base_model(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        past_key_values=prefix.cache,
        use_cache=prefix.cache is not None,
    )


def _plain(cache: Any) -> bool:
    from transformers.cache_utils import DynamicLayer

    layers: Any = getattr(cache, "layers", None)
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _read_by_all(cache: Any) -> Any:
    """A cache of the same keys and values that any number of rows reads and none adds to."""
    from transformers.cache_utils import Cache, DynamicLayer

    class ReadByAll(DynamicLayer):
        keys: torch.Tensor
        values: torch.Tensor

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            rows = len(key_states)
            keys, values = (
                torch.cat([kept.expand(rows, -1, -1, -1), new], dim=-2)
                for kept, new in ((self.keys, key_states), (self.values, value_states))
            )
            return keys, values

    layers: list[Any] = []
    for kept in cache.layers or ():
        layer = ReadByAll()
        layer.lazy_initialization(kept.keys, kept.values)
        layer.keys, layer.values = kept.keys, kept.values
        layers.append(layer)
    return Cache(layers=layers)
