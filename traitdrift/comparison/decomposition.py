"""How much of a variant's difference is what was said, how much is the model that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traitdrift.comparison.settings import Compare
from traitdrift.core.files import rounded
from traitdrift.stats.resampling import (
    bootstrap_means,
    least_p,
    percentile_interval,
    sign_flip_p,
)


def decompose(
    cells: Mapping[tuple[str, str], np.ndarray], settings: Compare
) -> list[dict[str, Any]]:
    """How much of a variant's difference from base is text, how much is the reading model.

    `cells[text, model]`, text and model each base or variant, holds projections `[question]`.
    With P(t, m) a cell's mean, the total P(v, v) - P(b, b) is the sum of two effects, each the
    average over the two settings of the other factor (for two factors, the Shapley values):

        text  = (P(v, b) - P(b, b) + P(v, v) - P(b, v)) / 2,
        model = (P(b, v) - P(b, b) + P(v, v) - P(v, b)) / 2,

    and the interaction P(v, v) - P(v, b) - P(b, v) + P(b, b) says how far the two settings
    disagree. Each record holds `effect`, `value` with its bootstrap interval over questions, the
    sign-flip `p`, and the `share` of the total with its interval.
    """
    bb, bv, vb, vv = (
        np.asarray(cells[text, model], dtype=np.float64)
        for text in ("base", "variant")
        for model in ("base", "variant")
    )
    effects = {
        "total": vv - bb,
        "text": (vb - bb + vv - bv) / 2,
        "model": (bv - bb + vv - vb) / 2,
        "interaction": vv - vb - bv + bb,
    }
    columns = np.stack(list(effects.values()), axis=1)
    draws = bootstrap_means(columns, settings.resamples, settings.seed)
    p = sign_flip_p(columns, settings.permutations, settings.seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares, share_draws = columns.mean(0) / columns[:, 0].mean(), draws / draws[:, :1]
    records = []
    for k, name in enumerate(effects):
        low, high = percentile_interval(draws[:, k], settings.confidence)
        share_low, share_high = percentile_interval(share_draws[:, k], settings.confidence)
        figures = {
            "value": columns[:, k].mean(),
            "low": low,
            "high": high,
            "p": p[k],
            "p_least": least_p(len(columns), settings.permutations),
            "share": shares[k],
            "share_low": share_low,
            "share_high": share_high,
        }
        records.append({"effect": name, **{key: rounded(v) for key, v in figures.items()}})
    return records
