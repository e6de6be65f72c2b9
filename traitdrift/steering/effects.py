"""What each intervention does to answers and to plain text, against doing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from traitdrift.behaviour.outcomes import OUTCOMES, outcome_rates
from traitdrift.core.files import rounded
from traitdrift.stats.resampling import paired_differences
from traitdrift.steering.condition import Condition
from traitdrift.steering.effect_settings import SteerEffects


def effect_table(
    responses: pandas.DataFrame,
    log_probability: np.ndarray,
    projections: Mapping[str, np.ndarray],
    finite: np.ndarray,
    interventions: Sequence[Condition],
    settings: SteerEffects,
) -> dict[str, dict[str, Any]]:
    """Figures of every intervention by its name, and their differences from the first one's.

    `responses` has a row per answer: `id` of its question, `condition` (an intervention's name) and
    `outcome`. `log_probability` is `[text, intervention]`, in nats per token. `projections` are
    `[answer, intervention]` each; their means are given. `finite` is `[intervention]`: without it
    rates, log-probability and differences are None.

    A trait's vector has beside it `over_random`, its difference from the random vector's under the
    same intervention. Rates have Wilson intervals. Differences are paired, with bootstrap
    intervals over questions, each of which counts the same, and over texts.
    """
    names = [intervention.name for intervention in interventions]
    log_probability = np.where(finite, log_probability, np.nan)
    figures = {"log_probability": log_probability}
    for outcome in OUTCOMES:
        hit = (responses["outcome"] == outcome).groupby([responses["id"], responses["condition"]])
        figures[outcome] = np.where(finite, hit.mean().unstack()[names], np.nan)
    differences = {
        key: paired_differences(values, settings.resamples, settings.confidence, settings.seed)
        for key, values in figures.items()
    }
    null = {
        (what.kind, what.coefficient): i
        for i, what in enumerate(interventions)
        if what.direction == "random"
    }
    over_random = {
        (key, i): paired_differences(
            values[:, [null[what.kind, what.coefficient], i]],
            settings.resamples,
            settings.confidence,
            settings.seed,
        )[1]
        for key, values in figures.items()
        for i, what in enumerate(interventions)
        if what.direction == "trait"
    }

    def against(key: str, i: int) -> dict[str, Any]:
        extra = {"over_random": over_random[key, i]} if (key, i) in over_random else {}
        return {"difference": differences[key][i], **extra}

    table = {}
    for i, name in enumerate(names):
        answers = responses[responses["condition"] == name]
        rates = outcome_rates(answers["outcome"], answers["id"], settings.confidence)
        table[name] = {
            "finite": bool(finite[i]),
            **{
                record["outcome"]: {
                    **{
                        key: record[key] if finite[i] else np.nan for key in ("rate", "low", "high")
                    },
                    **against(record["outcome"], i),
                }
                for record in rates
            },
            "log_probability": {
                "value": float(log_probability[:, i].mean()),
                **against("log_probability", i),
            },
            **{key: float(values[:, i].mean()) for key, values in projections.items()},
        }
    return _readable(table)


def _readable(figures: Any) -> Any:
    """Every float in a tree of figures rounded, or None where it is undefined."""
    if isinstance(figures, dict):
        return {key: _readable(figure) for key, figure in figures.items()}
    return rounded(figures) if isinstance(figures, float) else figures


def effect_rows(
    table: Mapping[str, Mapping[str, Any]], interventions: Sequence[Condition]
) -> pandas.DataFrame:
    """The same figures flat: a row per intervention and outcome, what is nested joined by `_`."""
    return pandas.json_normalize(
        [
            {
                "condition": what.name,
                "kind": what.kind,
                "vector": what.direction,
                "coefficient": None if what.kind == "ablate" else what.coefficient,
                "outcome": outcome,
                **table[what.name][outcome],
                **{key: value for key, value in table[what.name].items() if key not in OUTCOMES},
            }
            for what in interventions
            for outcome in OUTCOMES
        ],
        sep="_",
    )
