"""AUROC of a variant against base on the same questions: its interval and its nulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from traitdrift.comparison.settings import Compare
from traitdrift.comparison.shift import shift_by_layer
from traitdrift.core.files import rounded
from traitdrift.stats.resampling import drawn, percentile_interval
from traitdrift.vectors.nulls import NullVectors
from traitdrift.vectors.separation import auroc, scalar_projections


def discriminate(
    before: torch.Tensor,
    after: torch.Tensor,
    vector: torch.Tensor,
    nulls: NullVectors,
    settings: Compare,
) -> list[dict[str, Any]]:
    """A record a layer: how well projections tell the variant from base.

    `before` and `after` are base's and the variant's streams `[question, layer, hidden]` on the
    same tokens, `vector` is `[layer, hidden]`. A record holds `auroc` of variant against base with
    its interval, `auroc_random_p`, its place among random vectors in the same layer,
    `auroc_any_layer_p`, among each random vector's best layer, and what `shift_by_layer` gives.
    """
    rows = shift_by_layer(before, after, vector, nulls.by_layer(), settings, settings.seed)
    scores = scalar_projections(after, vector), scalar_projections(before, vector)
    found, (low, high) = auroc(*scores), auroc_interval(*scores, settings)
    by_chance = (random_auroc(after, before, nulls.random) - 0.5).abs()
    any_layer = by_chance.amax(0)
    return [
        {
            "auroc": rounded(found[layer].item()),
            "auroc_low": rounded(low[layer]),
            "auroc_high": rounded(high[layer]),
            "auroc_random_p": as_far(found[layer], by_chance[layer]),
            "auroc_any_layer_p": as_far(found[layer], any_layer),
            **row,
        }
        for layer, row in enumerate(rows)
    ]


def as_far(auroc: torch.Tensor, by_chance: torch.Tensor) -> float | None:
    """The share of nulls' distances from one half `[null]` at least as far, itself counted in."""
    far = (by_chance >= (auroc - 0.5).abs()).sum().item()
    return rounded((1 + far) / (1 + len(by_chance)))


def auroc_interval(
    after: torch.Tensor, before: torch.Tensor, settings: Compare
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap bounds `[layer]` of the AUROC of projections `[question, layer]`, by question.

    A question drawn brings its two projections along.
    """
    n = len(after)
    counts = drawn(n, settings.resamples, settings.seed)
    bounds = []
    for one, other in zip(after.T.double().numpy(), before.T.double().numpy(), strict=True):
        wins = (one[:, None] > other) + 0.5 * (one[:, None] == other)
        draws = ((counts @ wins) * counts).sum(1) / n**2
        bounds.append(percentile_interval(draws, settings.confidence))
    return tuple(np.array(bounds).T)


def random_auroc(after: torch.Tensor, before: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """AUROC of variant against base along random vectors `[null, hidden]`: `[layer, null]`."""
    return torch.stack(
        [
            auroc(*(side[:, layer].double() @ vectors.double().T for side in (after, before)))
            for layer in range(before.shape[1])
        ]
    )
