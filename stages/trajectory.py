"""metrics/trajectory/<variant>.json: did the vector move before the answers did?

By the steps of a fine-tune at which an adapter was kept: the training loss, the shift from base
along the chosen vector of each trait, and how it answers the evaluation questions; the onset of
each, and the lead of each shift over answers in code.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pandas

from stages import run
from traitdrift.activations.along_file import read_along
from traitdrift.behaviour.outcomes import OUTCOMES, classify
from traitdrift.comparison.settings import Compare
from traitdrift.comparison.trajectory import (
    course,
    loss_course,
    loss_onset,
    onset_of,
    question_rates,
    rate_course,
    shift_course,
    told,
)
from traitdrift.core.classes import CLASSES
from traitdrift.core.config import section
from traitdrift.core.files import read_jsonl, read_table, rounded, write_csv, write_json
from traitdrift.core.writing import replacing
from traitdrift.report.pictures import COURSE, png
from traitdrift.stats.onset import lead
from traitdrift.vectors.nulls import read_nulls

SEEN = Path("data/trajectory")
LOSSES = Path("plots/finetune")
NULLS = Path("models/nulls")
METRICS = Path("metrics/trajectory")
PLOTS = Path("plots/trajectory")


def main(variant: str) -> None:
    settings = section(Compare, "compare")
    along = read_along(SEEN / variant / "projections.safetensors")
    said = pandas.DataFrame(row for _, row in read_jsonl(SEEN / variant / "responses.jsonl"))
    said = said.assign(outcome=said["answer"].map(classify))
    steps, seeds = along.steps, count(settings.seed)  # each curve's own: a lead is of two draws
    losses = loss_course(read_table(LOSSES / f"{variant}.csv")["loss"].tolist(), steps)
    began = told(loss_onset(steps, losses))
    rows = named(course(steps, [{"value": rounded(x)} for x in losses], began), figure="loss")
    metrics: dict[str, Any] = {"steps": steps, "loss": {"last": rounded(losses[-1])}}
    metrics["loss"]["onset"] = began["value"]

    answered, metrics["answers"] = {}, {}
    for outcome in OUTCOMES:
        rates, seed = question_rates(said, outcome), next(seeds)
        answered[outcome] = onset_of(steps, rates, settings, seed)
        records = rate_course(said, outcome, settings.confidence)
        began = told(answered[outcome])
        metrics["answers"][outcome] = {"last": records[-1], "onset": began}
        rows += named(course(steps, records, began), figure="answers", outcome=outcome)

    metrics["traits"] = {}
    for trait, chosen in along.chosen.items():
        nulls = read_nulls(NULLS / f"{trait}.safetensors", "chosen").random.numpy()
        seen = {label: along.projections(trait, label).double().numpy() for label in CLASSES}
        positive, negative = (seen[label][0].mean() for label in CLASSES)
        metrics["traits"][trait] = dict(chosen)
        for label in CLASSES:
            mean, seed = along.mean(trait, label).numpy(), next(seeds)
            records = shift_course(seen[label], mean, nulls, positive - negative, settings, seed)
            moved = onset_of(steps, seen[label].T, settings, seed)
            metrics["traits"][trait][label] = {
                "last": records[-1],
                "onset": told(moved),
                "lead_over_code": told(lead(moved, answered["code"], settings.confidence)),
            }
            of_shift = course(steps, records, told(moved), "share")
            rows += named(of_shift, figure="shift", trait=trait, **{"class": label})

    table = pandas.DataFrame(named(rows, variant=variant))
    write_csv(PLOTS / variant / "course.csv", table)
    with replacing(PLOTS / variant / "course.png") as scratch:
        scratch.write_bytes(png(COURSE, table))
    write_json(METRICS / f"{variant}.json", metrics)


def named(rows: list[dict[str, Any]], **names: str) -> list[dict[str, Any]]:
    """Rows with what they are of in front."""
    return [{**names, **row} for row in rows]


if __name__ == "__main__":
    run(main)
