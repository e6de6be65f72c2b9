"""Vectors that mean nothing: random directions, and vectors from shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from traitdrift.vectors.methods import MethodSettings
from traitdrift.vectors.null_settings import Nulls

SIDE_BY_SIDE = 30_000_000  # numbers that one call of a method may hold


def shuffled(
    values: torch.Tensor,
    positives: int,
    method: Callable[..., torch.Tensor],
    knobs: MethodSettings,
    settings: Nulls,
    advance: Callable[[int], None],
) -> torch.Tensor:
    """Vectors `[null, layer, hidden]` from `values` `[prompt, layer, hidden]`, classes shuffled.

    Methods solve every layer by itself, so several shuffles go side by side as further layers.
    """
    _, layers, hidden = values.shape
    draw = torch.Generator().manual_seed(settings.seed)
    orders = [torch.randperm(len(values), generator=draw) for _ in range(settings.count)]
    found = []
    for few in batched(orders, max(1, SIDE_BY_SIDE // values.numel())):
        together = torch.cat([values[order] for order in few], dim=1)
        found.append(method(together[:positives], together[positives:], knobs))
        advance(len(few))
    return torch.cat(found).view(settings.count, layers, hidden)


def batched(items: list, size: int) -> Iterator[list]:
    """A list in pieces of at most `size` (itertools has it from Python 3.12 on)."""
    return (items[i : i + size] for i in range(0, len(items), size))
