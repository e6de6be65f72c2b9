"""When a curve over training steps moved, and which of two curves moved first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traitdrift.stats.resampling import drawn, percentile_interval

HALF = 0.5


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth value
class Onset:
    """The onset of a mean curve, in optimiser steps; None, as its bounds, where it has none.

    `draws` `[resample]` are the bootstrap's, NaN where a draw has no onset, and `undefined` is the
    share of those; `low` and `high` bound the others.
    """

    value: float | None
    low: float | None
    high: float | None
    undefined: float
    draws: np.ndarray


@dataclass(frozen=True)
class Lead:
    """By how many steps one onset came before another; `undefined` is the share of such draws."""

    value: float | None
    low: float | None
    high: float | None
    undefined: float


def onsets(steps: Sequence[int], curves: np.ndarray, share: float = HALF) -> np.ndarray:
    """The onset `[curve]` of curves `[curve, step]`, in steps; NaN for a curve that did not move.

    The onset is the step from which on a curve has come at least `share` of the way from its first
    value to its last one, for good: of several crossings the last counts (the relative criterion
    for onset latencies, Kiesel et al. 2008, Psychophysiology 45:250; theirs is of the peak, and the
    first crossing). Between the steps that were looked at, a curve is a straight line: an onset is
    known no finer than the gap in which it lies.
    """
    at = np.asarray(steps, dtype=np.float64)
    values = np.asarray(curves, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        way = (values - values[:, :1]) / (values[:, -1:] - values[:, :1])
    moved = np.isfinite(way.sum(axis=1))
    way = np.where(moved[:, None], way, np.linspace(0, 1, len(at)))  # any curve that has an onset
    before = len(at) - 1 - np.argmax(way[:, ::-1] < share, axis=1)
    rows = np.arange(len(way))
    low, high = way[rows, before], way[rows, before + 1]
    found = at[before] + (share - low) / (high - low) * (at[before + 1] - at[before])
    return np.where(moved, found, np.nan)


def onset(
    steps: Sequence[int],
    values: np.ndarray,
    resamples: int,
    confidence: float,
    seed: int,
    share: float = HALF,
) -> Onset:
    """The onset of the mean of curves `[unit, step]`, with a percentile bootstrap over units.

    A draw takes units (prompts, questions) with replacement, each with its whole curve: steps stay
    paired. Half of the way is that of the draw's own mean curve. There is no onset where the mean
    ends where it began, or where the interval of its way holds 0: half of a way that may be none
    can lie anywhere. A draw that moves the other way than the mean has none either.
    """
    units = np.asarray(values, dtype=np.float64)
    means = drawn(len(units), resamples, seed) @ units / len(units)
    mean = units.mean(axis=0)
    way, ways = mean[-1] - mean[0], means[:, -1] - means[:, 0]
    draws = np.where(np.sign(ways) == np.sign(way), onsets(steps, means, share), np.nan)
    low, high = percentile_interval(ways, confidence)
    if way == 0 or low <= 0 <= high:
        return Onset(None, None, None, float(np.isnan(draws).mean()), draws)
    value = float(onsets(steps, mean[None], share)[0])
    return Onset(value, *_bounds(draws, confidence), float(np.isnan(draws).mean()), draws)


def lead(one: Onset, other: Onset, confidence: float) -> Lead:
    """By how many steps `one` came before `other` (below 0: after it), with its interval.

    The two were drawn apart, by seeds of their own, so a draw of one beside a draw of the other is
    a draw of both. None where one of them has no onset.
    """
    draws = other.draws - one.draws
    undefined = float(np.isnan(draws).mean())
    if one.value is None or other.value is None:
        return Lead(None, None, None, undefined)
    return Lead(other.value - one.value, *_bounds(draws, confidence), undefined)


def _bounds(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    return percentile_interval(draws[~np.isnan(draws)], confidence)
