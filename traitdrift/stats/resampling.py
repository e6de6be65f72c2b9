"""Intervals and tests: bootstrap and sign flips over prompts, Holm, Wilson, place among nulls."""

from __future__ import annotations

import numpy as np
from scipy import stats


def bootstrap_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of `values` `[prompt, k]` over prompts drawn with replacement: `[resample, k]`.

    All columns of a resample share the drawn prompts, so differences between columns (variant
    and base, say) stay paired. Draws depend on seed, resamples and the number of prompts alone.
    """
    prompts = len(values)
    return drawn(prompts, resamples, seed) @ np.asarray(values, dtype=np.float64) / prompts


def drawn(units: int, resamples: int, seed: int) -> np.ndarray:
    """How often each unit is drawn, with replacement, in each resample: `[resample, unit]`.

    Counted from drawn indexes, four times as fast as numpy's multinomial draws.
    """
    indexes = np.random.default_rng(seed).integers(0, units, (resamples, units))
    places = indexes + units * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=units * resamples)
    return counts.reshape(resamples, units).astype(np.float64)


def percentile_interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic's draws `[resample]` (Efron 1979)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """The Wilson score interval of a rate (Wilson 1927)."""
    interval = stats.binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def clustered_wilson_interval(
    hits: np.ndarray, trials: np.ndarray, confidence: float
) -> tuple[float, float]:
    """The Wilson interval of a rate whose trials come in clusters, `hits` of `trials` `[cluster]`.

    Answers to one question are alike, so that many of them tell less than as many questions. The
    trials are divided by the design effect (Kish 1965): the variance of the rate between clusters,
    linearised as that of a ratio, over the binomial one, and at least 1; and the quantile is
    Student's with a degree of freedom less than there are clusters (Korn and Graubard 1998). A
    rate of 0 or 1 shows no variance to estimate: its clusters count as one trial each. A single
    cluster, or one trial a cluster, is Wilson's own interval.
    """
    count, total, rate = len(trials), trials.sum(), hits.sum() / trials.sum()
    if count == 1 or (trials == 1).all():
        return wilson_interval(int(hits.sum()), int(total), confidence)
    if rate in (0, 1):
        effective = float(count)
    else:
        variance = count / (count - 1) * ((hits - rate * trials) ** 2).sum() / total**2
        effective = total / max(1.0, variance * total / (rate * (1 - rate)))
    t = stats.t.ppf((1 + confidence) / 2, count - 1)
    middle = rate + t**2 / (2 * effective)
    half = t * np.sqrt(rate * (1 - rate) / effective + t**2 / (4 * effective**2))
    low, high = (np.array([-1, 1]) * half + middle) / (1 + t**2 / effective)
    # Rounding must not put a bound past 0 or 1, nor the rate of 0 or 1 outside.
    return float(min(rate, max(0.0, low))), float(max(rate, min(1.0, high)))


def sign_flip_p(differences: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Two-sided p-values `[k]` of the paired permutation test on `differences` `[prompt, k]`.

    Under the null a prompt's two values are exchangeable, so the sign of its difference is a coin
    toss (Fisher 1935); the statistic is the mean. All sign patterns are walked through where they
    are no more than `resamples`, else that many are drawn and the observed one is counted in
    (Phipson and Smyth 2010): no p-value is 0. Columns share the patterns.
    """
    values = np.asarray(differences, dtype=np.float64)
    prompts = len(values)
    if prompts < 63 and 2**prompts <= resamples:
        patterns = np.arange(2**prompts)[:, None] >> np.arange(prompts) & 1
    else:
        patterns = np.random.default_rng(seed).integers(0, 2, (resamples, prompts), dtype=np.int8)
        patterns = np.concatenate([np.ones((1, prompts), dtype=np.int8), patterns])
    sums = np.abs((2.0 * patterns - 1) @ values)
    # Sums of the same numbers in another order differ by rounding: a tie counts as a tie.
    slack = 1e-12 * np.abs(values).sum(0)
    return (sums >= np.abs(values.sum(0)) - slack).mean(0)


def least_p(prompts: int, resamples: int) -> float:
    """The smallest p-value that `sign_flip_p` can give for so many prompts and resamples."""
    walked = prompts < 63 and 2**prompts <= resamples
    return 2.0 ** (1 - prompts) if walked else 1 / (1 + resamples)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values `[test]` corrected for having looked at all of them (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return corrected


def place_among(value: np.ndarray, null: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where figures `[k]` stand in the spread of nulls `[null, k]`: z `[k]` and two-sided p `[k]`.

    z counts standard deviations from the nulls' mean. p is the share of nulls at least as far
    from zero, the figure itself counted in, so that it is never 0. z of a spread of zero is NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (value - null.mean(0)) / null.std(0, ddof=1)
    z = np.where(np.isfinite(z), z, np.nan)
    beyond = (np.abs(null) >= np.abs(value)).sum(0)
    return z, (1 + beyond) / (1 + len(null))


def paired_differences(
    values: np.ndarray, resamples: int, confidence: float, seed: int
) -> list[dict[str, float]]:
    """Mean difference of each column from the first, `values` being `[unit, k]`.

    Each is `{value, low, high}` with a percentile bootstrap interval over units, the draws shared
    by all columns. A column that holds NaN has NaN figures and does not touch the others.
    """
    differences = values - values[:, :1]
    draws = bootstrap_means(differences, resamples, seed)
    means = differences.mean(axis=0)
    figures = []
    for mean, column in zip(means, draws.T, strict=True):
        low, high = percentile_interval(column, confidence)
        figures.append({"value": float(mean), "low": low, "high": high})
    return figures
