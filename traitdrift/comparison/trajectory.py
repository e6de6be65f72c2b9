"""Curves over the steps of a fine-tune: loss, shifts along trait vectors, how it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas

from traitdrift.behaviour.outcomes import Outcome, outcome_rates
from traitdrift.comparison.settings import Compare
from traitdrift.core.files import rounded
from traitdrift.stats.onset import Lead, Onset, onset, onsets
from traitdrift.stats.resampling import paired_differences, place_among


def loss_course(losses: Sequence[float], steps: Sequence[int]) -> np.ndarray:
    """The mean training loss `[step]` of the optimiser steps since the one looked at before.

    `losses[k]` is that of optimiser step k + 1, taken before the step changes the weights; so at
    step 0 stands the loss of the first, which is base's on its batch.
    """
    means = [np.mean(losses[a:b]) for a, b in pairwise(steps)]
    return np.array([losses[0], *means])


def loss_onset(steps: Sequence[int], losses: np.ndarray) -> Onset:
    """The onset of the loss, without an interval: a loss has no units to draw from."""
    (found,) = onsets(steps, losses[None])
    return Onset(None if np.isnan(found) else float(found), None, None, 0.0, found[None])


def shift_course(
    projections: np.ndarray,
    mean: np.ndarray,
    nulls: np.ndarray,
    gap: float,
    settings: Compare,
    seed: int,
) -> list[dict[str, float | None]]:
    """One record a step: how far the mean projection of some prompts has moved since step 0.

    `projections` `[step, prompt]` are of the same prompts, `mean` `[step, hidden]` is their mean
    stream, `nulls` `[null, hidden]` are random unit vectors, `gap` is the difference of base's
    class means. `value`, `low`, `high` are the paired shift with its bootstrap interval over
    prompts, `share` and its bounds the same over the gap; `random_z` and `random_p` its place among
    the shifts along the nulls, undefined where nothing moved at all. They tell a direction and no
    size: half the shift has the same z.
    """
    shifts = paired_differences(
        np.asarray(projections, dtype=np.float64).T, settings.resamples, settings.confidence, seed
    )
    along = nulls.astype(np.float64) @ (mean - mean[:1]).T
    z, p = place_among(np.array([one["value"] for one in shifts]), along)
    p = np.where(np.isnan(z), np.nan, p)
    records = []
    for one, *place in zip(shifts, z, p, strict=True):
        shares = zip(("share", "share_low", "share_high"), one.values(), strict=True)
        figures = {**one, **{name: x / gap for name, x in shares}}
        figures |= zip(("random_z", "random_p"), place, strict=True)
        records.append({name: rounded(float(x)) for name, x in figures.items()})
    return records


def question_rates(rows: pandas.DataFrame, outcome: str) -> np.ndarray:
    """The share `[question, step]` of a question's answers with an outcome.

    `rows` holds `step, id, outcome`, an answer a row.
    """
    hit = rows.assign(hit=rows["outcome"] == outcome)
    table = hit.pivot_table(index="id", columns="step", values="hit", sort=True)
    return table.to_numpy(dtype=np.float64)


def rate_course(
    rows: pandas.DataFrame, outcome: Outcome, confidence: float
) -> list[dict[str, float | None]]:
    """One record a step: the share of its answers with an outcome, its interval over questions.

    `rows` as `question_rates` takes them.
    """
    records = []
    for _, answers in rows.groupby("step"):
        rates = outcome_rates(answers["outcome"], answers["id"], confidence)
        (rate,) = [one for one in rates if one["outcome"] == outcome]
        figures = {"value": rate["rate"], "low": rate["low"], "high": rate["high"]}
        records.append({name: rounded(x) for name, x in figures.items()})
    return records


def onset_of(steps: Sequence[int], units: np.ndarray, settings: Compare, seed: int) -> Onset:
    """The onset of the mean of curves `[unit, step]`, by the settings of all comparisons."""
    return onset(steps, units, settings.resamples, settings.confidence, seed)


def told(found: Onset | Lead) -> dict[str, Any]:
    """An onset or a lead as it is written down."""
    bounds = {"value": found.value, "low": found.low, "high": found.high}
    return {
        **{name: None if x is None else rounded(x) for name, x in bounds.items()},
        "undefined": rounded(found.undefined),
    }


def course(
    steps: Sequence[int],
    records: Sequence[Mapping[str, Any]],
    began: Mapping[str, Any],
    drawn: str = "value",
) -> list[dict[str, Any]]:
    """The records of a curve as rows, a row a step; the last one tells of the curve's onset.

    `began` is what `told` gave; `half` is the height of the onset in the column that is `drawn`.
    """
    rows = [{"step": step, **record} for step, record in zip(steps, records, strict=True)]
    if began["value"] is not None:
        marks = {f"onset_{name}": began[name] for name in ("value", "low", "high")}
        rows[-1] |= {**marks, "half": rounded((rows[0][drawn] + rows[-1][drawn]) / 2)}
    return rows
