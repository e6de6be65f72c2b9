"""Is it the data, or the draw? The fine-tunes of one recipe together, against the control's.

A *recipe* is here a data set with all that trains on it but the seeds; its draws are the fine-tunes
that differ in these alone. An adapter that was trained elsewhere is one draw of its own recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas

from traitdrift.core.classes import CLASSES
from traitdrift.core.files import rounded
from traitdrift.stats.replicates import beyond, exact_permutation_p, over_draws
from traitdrift.stats.resampling import holm
from traitdrift.training.settings import Finetune

# What is measured of a draw: the shift of a trait's class, or the rate of an outcome.
MEASURE = ["kind", "name", "class"]
RATE = "rate"
OVER_DRAWS = ["value", "sd", "low", "high", "p", "new_low", "new_high"]
BEYOND = [f"beyond_{name}" for name in ("value", "low", "high", "p")]
# No share lies beyond these, and no difference of two: what an interval has there holds nothing.
POSSIBLE = {
    **dict.fromkeys(("low", "high", "new_low", "new_high"), (0.0, 1.0)),
    **dict.fromkeys(("beyond_low", "beyond_high"), (-1.0, 1.0)),
}
TOLD = [*OVER_DRAWS, "p_holm", "moved", *BEYOND, "beyond_p_holm", "beyond"]


def recipes(finetunes: Mapping[str, Finetune], drawn: Sequence[str]) -> dict[str, list[str]]:
    """The draws of each recipe, in their order, by the id of the first; base is none."""
    found: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for name in drawn:
        if name == "base":
            continue
        dataset = finetunes[name].dataset if name in finetunes else None
        recipe = name if dataset is None else first.setdefault(dataset, name)
        found.setdefault(recipe, []).append(name)
    return found


def recipe_of(draw: str | None, draws: Mapping[str, Sequence[str]]) -> str | None:
    """The recipe that a draw is of, in what `recipes` gives; any of its draws names it."""
    return next((recipe for recipe, names in draws.items() if draw in names), None)


def measured(
    shifts: Mapping[str, pandas.DataFrame], rates: Mapping[str, pandas.DataFrame]
) -> pandas.DataFrame:
    """`kind, name, class, draw, unit, value`: a row a draw and prompt, or a draw and question.

    `shifts` holds by draw `trait, class, prompt, base, variant`, the projections along the chosen
    vector, and `rates` `question, outcome, rate`.
    """
    columns = [*MEASURE, "draw", "unit", "value"]
    tables = [pandas.DataFrame(columns=columns)] if not shifts else []
    for draw, table in shifts.items():
        rows = table.rename(columns={"trait": "name", "prompt": "unit"})
        shift = table["variant"] - table["base"]
        tables.append(rows.assign(kind="shift", draw=draw, value=shift)[columns])
    for draw, table in rates.items():
        own = table[table["question"] != "all"]
        rows = own.rename(columns={"outcome": "name", "question": "unit", "rate": "value"})
        tables.append(rows.assign(kind=RATE, draw=draw, **{"class": "answers"})[columns])
    return pandas.concat(tables, ignore_index=True)


def base_gaps(shifts: Mapping[str, pandas.DataFrame]) -> dict[str, float]:
    """How far apart base's classes lie along each trait's chosen vector; tables as in `measured`.

    Every draw was read beside the same base.
    """
    if not shifts:
        return {}
    any_of_them = next(iter(shifts.values()))
    means = any_of_them.groupby(["trait", "class"])["base"].mean().unstack()
    gaps: dict[str, float] = (means[CLASSES[0]] - means[CLASSES[1]]).to_dict()
    return gaps


def by_draw(table: pandas.DataFrame, draws: Sequence[str]) -> np.ndarray:
    """`[draw, unit]` of one measure; every draw has the same prompts, or questions."""
    wide = table[table["draw"].isin(draws)].pivot_table(
        index="draw", columns="unit", values="value", aggfunc="mean", sort=False
    )
    return wide.loc[list(draws)].to_numpy(np.float64)


def of_recipes(
    table: pandas.DataFrame,
    draws: Mapping[str, Sequence[str]],
    control: str | None,
    confidence: float,
    alpha: float,
) -> pandas.DataFrame:
    """`recipe, kind, name, class, draws, value, ...`: what holds for more than one draw.

    `table` as `measured` gives it, `draws` by recipe, `control` a recipe that the others are set
    beside. Beside what `over_draws` gives there is `beyond_value`, how much further than the
    control, with `beyond_low`, `beyond_high` and `beyond_p`. Of one draw, or one
    question, only the means are told.
    `p_holm` and `beyond_p_holm` are corrected over all of the table (Holm 1979), and `moved` and
    `beyond` are 1 where these are at most `alpha`.
    """
    rows = []
    for keys, of_measure in table.groupby(MEASURE, sort=False):
        measure = dict(zip(MEASURE, keys, strict=True))
        for recipe, names in draws.items():
            values = by_draw(of_measure, names)
            row: dict[str, Any] = {"recipe": recipe, **measure, "draws": len(names)}
            several = min(values.shape) > 1  # of one draw, or one question, nothing varies
            row |= over_draws(values, confidence) if several else {"value": values.mean()}
            if measure["kind"] == RATE:  # that a share is zero is no question
                row.pop("p", None)
            if control and recipe != control:
                others = by_draw(of_measure, draws[control])
                row["beyond_value"] = values.mean() - others.mean()
                if several and len(others) > 1:
                    found = beyond(values, others, confidence)
                    row |= {f"beyond_{name}": figure for name, figure in found.items()}
            rows.append(row)
    found = pandas.DataFrame(rows, columns=["recipe", *MEASURE, "draws", *TOLD])
    of_rates = found["kind"] == RATE
    for name, (least, most) in POSSIBLE.items():
        found[name] = found[name].astype(float).mask(of_rates, found[name].clip(least, most))
    for p, verdict in (("p", "moved"), ("beyond_p", "beyond")):
        told = found[p].notna()
        found.loc[told, f"{p}_holm"] = holm(found.loc[told, p].to_numpy(np.float64))
        found[verdict] = (found[f"{p}_holm"] <= alpha).astype("Int64").mask(~told)
    numbers = [name for name in TOLD if name not in ("moved", "beyond")]
    return found.assign(**{name: found[name].map(rounded, na_action="ignore") for name in numbers})


def means_of_draws(
    table: pandas.DataFrame,
    draws: Mapping[str, Sequence[str]],
    found: pandas.DataFrame,
    gaps: Mapping[str, float],
) -> pandas.DataFrame:
    """`recipe, draw, kind, name, class, value, mean, new_low, new_high, gap`: a row a draw.

    `value` is the draw's own mean and `mean` that of its recipe, whose row is in `found` (of
    `of_recipes`); of a rate there is no `gap` to hold it against.
    """
    own = table.groupby([*MEASURE, "draw"], sort=False)["value"].mean().reset_index()
    recipe = {name: recipe for recipe, names in draws.items() for name in names}
    rows = own.assign(recipe=own["draw"].map(recipe)).merge(
        found.rename(columns={"value": "mean"})[
            ["recipe", *MEASURE, "mean", "new_low", "new_high"]
        ],
        on=["recipe", *MEASURE],
    )
    rows["gap"] = rows["name"].map(gaps).where(rows["kind"] != RATE)
    figures = {name: rows[name].map(rounded, na_action="ignore") for name in ("value", "gap")}
    columns = ["recipe", "draw", *MEASURE, "value", "mean", "new_low", "new_high", "gap"]
    return rows.assign(**figures)[columns]


def apart(table: pandas.DataFrame, draws: Mapping[str, Sequence[str]]) -> pandas.DataFrame:
    """`one, other, kind, name, class, value, p, p_least`: each two recipes, draw against draw.

    By the exact permutation of the draws' means; `p_least` is the least that so many draws can say.
    """
    rows = []
    for one, other in combinations(draws, 2):
        for keys, of_measure in table.groupby(MEASURE, sort=False):
            means = [by_draw(of_measure, draws[name]).mean(1) for name in (one, other)]
            p, least = exact_permutation_p(*means)
            row = {"one": one, "other": other, **dict(zip(MEASURE, keys, strict=True))}
            difference = rounded(means[0].mean() - means[1].mean())
            rows.append(row | {"value": difference, "p": rounded(p), "p_least": rounded(least)})
    columns = ["one", "other", *MEASURE, "value", "p", "p_least"]
    return pandas.DataFrame(rows, columns=columns)
