"""The report's charts as columns and rows, as their specs name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas

from traitdrift.report.numbers import MINUS, Source, signed
from traitdrift.stats.multiple_testing import verdict

ANSWER_CHARACTERS = 1_200_000  # of answers in the page, so that it stays small enough to open


def columns(table: pandas.DataFrame) -> dict[str, list]:
    """A table by columns, undefined figures as None: shorter as JSON than a record a row."""
    plain = table.astype(object).where(table.notna(), None)
    return {str(name): plain[name].tolist() for name in plain}


def framed(candidates: pandas.DataFrame, vectors: Mapping[str, Source]) -> pandas.DataFrame:
    """The candidates' figures that are read on hover, the chosen one of each trait marked."""
    keys = ["trait", "position", "method", "layer"]
    chosen = {(t, *(s.content[key] for key in keys[1:])) for t, s in vectors.items()}
    rows = candidates[[*keys, "auroc", "cv_auroc", "cohens_d"]]
    return rows.assign(
        chosen=[int(key in chosen) for key in rows[keys].itertuples(index=False, name=None)]
    )


def shift_rows(shifts: pandas.DataFrame) -> pandas.DataFrame:
    """The shifts along the chosen vectors in every layer, with what is read on hover."""
    keep = ["variant", "trait", "class", "layer", "value", "p_holm"]
    keep += ["random_z", "random_p", "permuted_p"]
    if not len(shifts):
        return pandas.DataFrame(columns=[*keep, "who", "shift", "verdict"])
    rows = shifts[shifts["choice"] == "chosen"]
    return rows[keep].assign(
        who=rows["variant"] + ", " + rows["class"],
        shift=[
            f"{signed(v)} [{signed(low)}, {signed(high)}]"
            for v, low, high in rows[["value", "low", "high"]].itertuples(index=False)
        ],
        verdict=[verdict(row) for row in rows.to_dict("records")],
    )


def prompt_rows(layers: Mapping[str, pandas.DataFrame]) -> list[dict[str, Any]]:
    """Every prompt's projections, by layer, for each variant; `place` spreads a class sideways.

    `layers` holds per variant `trait, class, prompt, 0, 1, ...`, a column a layer.
    """
    rows = []
    for variant, table in layers.items():
        values = table.drop(columns=["trait", "class", "prompt"])
        kept = values.astype(object).where(values.notna(), None).to_numpy().tolist()
        seen: dict[tuple[str, str], int] = {}
        sizes = table.groupby(["trait", "class"]).size()
        for (trait, label, prompt), of_layer in zip(
            table[["trait", "class", "prompt"]].itertuples(index=False), kept, strict=True
        ):
            place = seen.get((trait, label), 0)
            seen[trait, label] = place + 1
            along = (place + 0.5) / sizes[trait, label] - 0.5
            rows.append(
                {
                    "trait": trait,
                    "class": label,
                    "prompt": prompt,
                    "variant": variant,
                    "place": round((-0.45 if label == "positive" else 0.45) + 0.6 * along, 3),
                    "values": of_layer,
                }
            )
    return rows


def steering_rows(rates: pandas.DataFrame) -> tuple[pandas.DataFrame, list[str]]:
    """`steer.rates` as points of a chart, and the labels of its axis in order.

    What was not finite is left out. Without a vector nothing is added: a point of either line.
    """
    cost = [f"log_probability_difference_{bound}" for bound in ("value", "low", "high")]
    rates = rates[rates["finite"].astype(bool)].copy()
    rates["step"] = [
        "ablated" if kind == "ablate" else _coefficient(coefficient)
        for kind, coefficient in rates[["kind", "coefficient"]].itertuples(index=False)
    ]
    coefficients = sorted({0.0, *rates["coefficient"].dropna()})
    rates["order"] = rates["coefficient"].fillna(float("-inf"))
    none = rates["kind"] == "none"
    rates = pandas.concat(
        [rates[~none], *(rates[none].assign(vector=name) for name in ("trait", "random"))]
    ).sort_values(["variant", "vector", "order"], kind="stable")
    points = rates[["variant", "outcome", "condition", "vector", "step"]].copy()
    for name, column in (("rate", "rate"), ("rate_low", "low"), ("rate_high", "high")):
        points[name] = (100 * rates[column]).round(2)
    for name, column in zip(("cost", "cost_low", "cost_high"), cost, strict=True):
        points[name] = rates[column]
    return points, ["ablated", *map(_coefficient, coefficients)]


def _coefficient(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def answer_rows(answers: Mapping[str, pandas.DataFrame]) -> dict[str, Any]:
    """Base's and the variants' answers to the same question and sample, outcomes beside them.

    Of very many, the first samples of each question: `shown` of `total`.
    """
    first = next(iter(answers.values()))
    keys = ["id", "question", "sample"]
    table = first[keys]
    sides = {"base": first.rename(columns={"answer_base": "answer", "outcome_base": "outcome"})}
    for variant, one in answers.items():
        if variant != "base":
            sides[variant] = one.rename(
                columns={"answer_variant": "answer", "outcome_variant": "outcome"}
            )
    for variant, side in sides.items():
        told = side[[*keys, "answer", "outcome"]].fillna({"answer": ""})
        told = told.rename(columns={"answer": f"{variant} answer", "outcome": f"{variant} outcome"})
        table = table.merge(told, on=keys)
    total, samples = len(table), sorted(table["sample"].unique())
    texts = [f"{variant} answer" for variant in sides]
    while len(samples) > 1 and table[texts].map(len).to_numpy().sum() > ANSWER_CHARACTERS:
        samples.pop()
        table = table[table["sample"].isin(samples)]
    return {"total": total, "shown": len(table), "variants": [*sides], "rows": columns(table)}
