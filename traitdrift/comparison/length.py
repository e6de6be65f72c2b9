"""Prompt length as the rival explanation of a score: what is left of a figure without it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats


def r_squared(outcome: np.ndarray, *regressors: np.ndarray) -> float:
    """Share of the variance of `outcome` `[prompt]` that least squares on regressors explains."""
    design = np.column_stack([np.ones(len(outcome)), *regressors])
    fitted = design @ np.linalg.lstsq(design, outcome, rcond=None)[0]
    return float(1 - np.var(outcome - fitted) / np.var(outcome))


def length_control(
    scores: Mapping[str, np.ndarray],
    shifts: Mapping[str, np.ndarray],
    tokens: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """A class gap and its shift with the prompts' token counts regressed out.

    All three hold per class (positive, negative) one figure a prompt: base's projection, the
    variant's less base's, the token count. By ordinary least squares,

        score = a + gap x [positive] + b x tokens,
        shift = s_positive or s_negative, by class, + c x (tokens - their mean).

    Returned: `gap`, `positive_shift`, `negative_shift`, Pearson's `r` of score and of shift with
    1/tokens, and the R2 of the score on 1/tokens, on the class, and on both. Figures that have
    no spread to be explained, or to explain with, are NaN.
    """
    score, shift, length = (
        np.concatenate([side["positive"], side["negative"]]).astype(np.float64)
        for side in (scores, shifts, tokens)
    )
    label = np.repeat([1.0, 0.0], [len(scores["positive"]), len(scores["negative"])])
    found = dict.fromkeys(("r_score", "r_shift", "r2_length", "r2_class", "r2_both"), float("nan"))
    design = np.column_stack([label, 1 - label, length - length.mean()])
    by_class, of_shift = (np.linalg.lstsq(design, y, rcond=None)[0] for y in (score, shift))
    if np.ptp(length) and np.ptp(score):
        found["r_score"] = float(stats.pearsonr(score, 1 / length).statistic)
        found["r2_length"] = r_squared(score, 1 / length)
        found["r2_class"] = r_squared(score, label)
        found["r2_both"] = r_squared(score, 1 / length, label)
    if np.ptp(length) and np.ptp(shift):
        found["r_shift"] = float(stats.pearsonr(shift, 1 / length).statistic)
    return {
        "gap": float(by_class[0] - by_class[1]),
        "positive_shift": float(of_shift[0]),
        "negative_shift": float(of_shift[1]),
        **found,
    }
