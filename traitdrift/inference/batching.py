"""Batches of unequal sequences by a token budget, longest first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


# How many tokens (padding counted) a forward pass may hold. It cannot change a result beyond
# rounding, so it is an environment variable and no parameter.
BATCH_TOKENS = "TRAITDRIFT_BATCH_TOKENS"


def token_budget(default: int = 4096) -> int:
    """The tokens a batch may hold; a ValueError if the environment gives no positive number."""
    given = os.environ.get(BATCH_TOKENS, str(default))
    if not given.isdigit() or int(given) == 0:
        raise ValueError(f"{BATCH_TOKENS}={given!r}: give a positive whole number")
    return int(given)


def by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Groups of indexes of like length whose padded size stays within the budget.

    Longest first, so that a batch too large for the memory fails at once. A sequence longer
    than the budget comes alone.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def by_source(sources: Sequence[str], lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """The same within each source, one source after the other."""
    for source in dict.fromkeys(sources):
        members = [i for i, one in enumerate(sources) if one == source]
        for batch in by_length([lengths[i] for i in members], budget):
            yield [members[i] for i in batch]


def padded(
    sequences: Sequence[Sequence[int]], pad: int, left: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both `[sequence, token]`, padded on one side."""
    import torch

    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), pad)
    mask = torch.zeros(len(sequences), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        filled = slice(width - len(sequence), width) if left else slice(0, len(sequence))
        ids[row, filled] = torch.tensor(sequence)
        mask[row, filled] = 1
    return ids, mask
