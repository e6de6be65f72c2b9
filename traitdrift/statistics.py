"""Intervals: bootstrap over prompts, Wilson for rates."""

from __future__ import annotations

import numpy as np
from scipy import stats


def bootstrap_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of `values` `[prompt, k]` over prompts drawn with replacement: `[resample, k]`.

    All columns of a resample share the drawn prompts, so differences between columns (variant
    and base, say) stay paired. Draws depend on seed, resamples and the number of prompts alone.
    """
    prompts = len(values)
    counts = np.random.default_rng(seed).multinomial(
        prompts, np.full(prompts, 1 / prompts), size=resamples
    )
    return counts @ np.asarray(values, dtype=np.float64) / prompts


def percentile_interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic's draws `[resample]` (Efron 1979)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """The Wilson score interval of a rate (Wilson 1927)."""
    interval = stats.binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
