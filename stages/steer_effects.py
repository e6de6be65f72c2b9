"""metrics/steer/<variant>.json: what a trait vector does to answers, and what it costs plain text.

Against doing nothing, and against a random vector under the same intervention.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.behaviour.outcomes import classify
from traitdrift.core.config import section
from traitdrift.core.files import write_csv, write_json
from traitdrift.steering.effect_settings import SteerEffects
from traitdrift.steering.effects import effect_rows, effect_table
from traitdrift.steering.steered_file import read_steered

STEERED = Path("data/steered")
METRICS = Path("metrics/steer")
PLOTS = Path("plots/steer")
VECTOR = ("trait", "position", "method", "layer", "norm")


def main(variant: str) -> None:
    settings = section(SteerEffects, "steer_effects")
    steered = read_steered(STEERED / variant)
    responses = pandas.DataFrame(steered.responses)
    responses = responses.assign(outcome=responses["answer"].map(classify))
    table = effect_table(
        responses,
        steered.log_probability.numpy(),
        {
            "projection": steered.projection.numpy(),
            "last_projection": steered.last_projection.numpy(),
        },
        steered.finite.numpy(),
        steered.conditions,
        settings,
    )
    write_csv(PLOTS / variant / "answers.csv", responses)
    write_csv(PLOTS / variant / "rates.csv", effect_rows(table, steered.conditions))
    write_json(
        METRICS / f"{variant}.json",
        {
            "vector": {key: steered.vector[key] for key in VECTOR},
            "answers": len(steered.projection),
            "questions": responses["id"].nunique(),
            "paragraphs": len(steered.log_probability),
            "conditions": table,
        },
    )


if __name__ == "__main__":
    run(main)
