"""The rows of charts, as their specs name the columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas

from traitdrift.report.numbers import signed
from traitdrift.stats.multiple_testing import verdict

ANSWER_CHARACTERS = 1_200_000  # of answers in the page, so that it stays small enough to open


def columns(table: pandas.DataFrame) -> dict[str, list[Any]]:
    """A table by columns, undefined figures as None: shorter as JSON than a record a row."""
    plain = table.astype(object).where(table.notna(), None)
    return {str(name): plain[name].tolist() for name in plain}


def marked(
    candidates: pandas.DataFrame, chosen: Mapping[str, Mapping[str, Any]]
) -> pandas.DataFrame:
    """The candidates of all traits, those `chosen` (by trait) with 1 in the column `chosen`."""
    keys = ["trait", "position", "method", "layer"]
    picked = {(trait, *(vector[key] for key in keys[1:])) for trait, vector in chosen.items()}
    rows = candidates[keys].itertuples(index=False, name=None)
    return candidates.assign(chosen=[int(row in picked) for row in rows])


def with_vectors(
    table: pandas.DataFrame, chosen: Mapping[str, Mapping[str, Any]]
) -> pandas.DataFrame:
    """A table of projections with what of its trait's vector it does not say, for the title."""
    if not len(table):
        return table
    missing = [key for key in ("position", "method", "layer") if key not in table]
    return table.assign(
        **{key: [chosen[trait][key] for trait in table["trait"]] for key in missing}
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
    """Every prompt's projections, by layer, for each variant.

    `layers` holds per variant `trait, class, prompt, 0, 1, ...`, a column a layer.
    """
    keys = ["trait", "class", "prompt"]
    rows = []
    for variant, table in layers.items():
        values = table.drop(columns=keys)
        by_prompt = values.astype(object).where(values.notna(), None).to_numpy().tolist()
        for prompt, of_layer in zip(table[keys].to_dict("records"), by_prompt, strict=True):
            rows.append({**prompt, "variant": variant, "values": of_layer})
    return rows


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
        names = {name: f"{variant} {name}" for name in ("answer", "outcome")}
        given = side[[*keys, *names]].fillna({"answer": ""}).rename(columns=names)
        table = table.merge(given, on=keys)
    total, samples = len(table), sorted(table["sample"].unique())
    texts = [f"{variant} answer" for variant in sides]
    while len(samples) > 1 and table[texts].map(len).to_numpy().sum() > ANSWER_CHARACTERS:
        samples.pop()
        table = table[table["sample"].isin(samples)]
    return {"total": total, "shown": len(table), "variants": [*sides], "rows": columns(table)}
