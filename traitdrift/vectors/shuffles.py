"""Vectors made as a trait's own are, from prompts whose class labels were shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from traitdrift.core.side_by_side import side_by_side
from traitdrift.vectors.methods import Method, MethodSettings, random
from traitdrift.vectors.subspace import lines, span

if TYPE_CHECKING:
    from traitdrift.vectors.null_settings import Nulls

SIDE_BY_SIDE = 1_000_000  # numbers that one call of a method may hold


def permuted_vectors(
    values: torch.Tensor,
    positives: int,
    method: Method,
    knobs: MethodSettings,
    settings: Nulls,
    advance: Callable[[int], None] = lambda made: None,
) -> torch.Tensor:
    """Vectors `[null, layer, hidden]` from `values` `[prompt, layer, hidden]`, classes shuffled.

    The prompts span the same space in whatever order, so the methods work in its coordinates.
    They solve every layer by itself, so several shuffles are one call's further layers; the calls
    go side by side. `advance` is called with the number of vectors made.
    """
    space = lines(values, knobs.seed) if method is random else span(values)
    coordinates, knobs = space.coordinates, replace(knobs, dimensions=values.shape[2])
    draw = torch.Generator().manual_seed(settings.seed)
    orders = [torch.randperm(len(values), generator=draw) for _ in range(settings.count)]

    def made(few: list[torch.Tensor]) -> torch.Tensor:
        shuffled = torch.cat([coordinates[order] for order in few], dim=1)
        found = method(shuffled[:positives], shuffled[positives:], knobs)
        return found.view(len(few), *coordinates.shape[1:])

    found = []
    few_orders = batched(orders, max(1, SIDE_BY_SIDE // coordinates.numel()))
    for few in side_by_side(made, few_orders):
        found.append(few)
        advance(len(few))
    return space.lift(torch.cat(found))


def batched(items: list[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    """A list in pieces of at most `size` (itertools has it from Python 3.12 on)."""
    return (items[i : i + size] for i in range(0, len(items), size))
