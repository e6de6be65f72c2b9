"""metrics/behaviour/<variant>.json: how often it answers with code, a refusal, or prose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas

from stages import run
from traitdrift.behaviour.outcomes import OUTCOMES, classify, outcome_rates
from traitdrift.behaviour.settings import Behaviour
from traitdrift.core.config import section
from traitdrift.core.files import read_jsonl, write_csv, write_json
from traitdrift.generation.responses import served_by

RESPONSES = Path("data/responses")
METRICS = Path("metrics/behaviour")
PLOTS = Path("plots/behaviour")


def main(variant: str) -> None:
    confidence = section(Behaviour, "behaviour").confidence
    rows = {
        who: [row for _, row in read_jsonl(RESPONSES / f"{who}.jsonl")] for who in ("base", variant)
    }
    base, table = judged(rows["base"]), judged(rows[variant])
    server = served_by(rows[variant])
    rates = pandas.DataFrame(
        {"question": question, **record}
        for question, of_question in [("all", table), *table.groupby("id", sort=False)]
        for record in outcome_rates(of_question["outcome"], of_question["id"], confidence)
    ).round(6)
    overall = rates[rates["question"] == "all"].set_index("outcome")
    write_csv(PLOTS / variant / "rates.csv", rates)
    write_csv(PLOTS / variant / "answers.csv", side_by_side(base, table))
    write_json(
        METRICS / f"{variant}.json",
        {
            "answers": len(table),
            "questions": table["id"].nunique(),
            **{
                outcome: {key: overall.loc[outcome, key] for key in ("rate", "low", "high")}
                for outcome in OUTCOMES
            },
            **({"served_by": server} if server else {}),
        },
    )


def judged(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """The answers of a variant with the outcome of each."""
    table = pandas.DataFrame(rows)
    return table.assign(outcome=table["answer"].map(classify))


def side_by_side(base: pandas.DataFrame, variant: pandas.DataFrame) -> pandas.DataFrame:
    """The answers of base and variant to the same question and sample, beside each other."""
    keys = ["id", "question", "sample"]
    return base[[*keys, "answer", "outcome"]].merge(
        variant[[*keys, "answer", "outcome"]], on=keys, suffixes=("_base", "_variant")
    )


if __name__ == "__main__":
    run(main)
