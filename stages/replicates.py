"""metrics/replicates.json: what holds for a recipe, and not for one draw of it alone.

Fine-tunes of one data set that differ in their seeds are draws; those of `control` say what any
fine-tune does.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.comparison.replicates import (
    apart,
    base_gaps,
    means_of_draws,
    measured,
    of_recipes,
    recipe_of,
    recipes,
)
from traitdrift.comparison.settings import MultipleTesting
from traitdrift.core.config import Id, Share, section
from traitdrift.core.files import read_table, write_csv, write_json
from traitdrift.core.writing import replacing
from traitdrift.report.pictures import DRAWS, png
from traitdrift.stats.multiple_testing import nested
from traitdrift.training.settings import Finetune

SHIFTS = Path("plots/compare")
RATES = Path("plots/behaviour")
METRICS = Path("metrics/replicates.json")
PLOTS = Path("plots/replicates")


def main() -> None:
    confidence = section(Share, "compare.confidence")
    alpha = section(MultipleTesting, "multiple_testing").alpha
    draws = recipes(section(dict[Id, Finetune], "finetunes"), section(list[Id], "drawn"))
    control = recipe_of(section(Id | None, "control"), draws)
    names = [name for of_recipe in draws.values() for name in of_recipe]

    shifts = {name: read_table(SHIFTS / name / "prompts.csv") for name in names}
    table = measured(shifts, {name: read_table(RATES / name / "rates.csv") for name in names})
    found = of_recipes(table, draws, control, confidence, alpha)
    pairs = apart(table, draws)
    means = means_of_draws(table, draws, found, base_gaps(shifts))
    write_csv(PLOTS / "draws.csv", means)
    write_csv(PLOTS / "recipes.csv", found)
    write_csv(PLOTS / "apart.csv", pairs)
    if len(means):
        with replacing(PLOTS / "draws.png") as scratch:
            scratch.write_bytes(png(DRAWS, means))
    write_json(
        METRICS,
        {
            "draws": draws,
            "control": control,
            "recipes": nested(found, ["recipe", "kind", "name", "class"]),
            "apart": nested(pairs, ["one", "other", "kind", "name", "class"]),
        },
    )


if __name__ == "__main__":
    run(main)
