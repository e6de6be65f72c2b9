"""metrics/{evidence,detect,text_or_model}.json: what stands after all that was looked at.

Every p-value of a table is corrected for the whole table: traits, variants, classes, layers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stages import run
from traitdrift.comparison.settings import Evidence
from traitdrift.core.config import Id, section
from traitdrift.core.files import write_csv, write_json
from traitdrift.stats.multiple_testing import corrected, moved_table, nested, ranked, together

COMPARE = Path("plots/compare")
DETECT = Path("plots/detect")
TEXT_OR_MODEL = Path("plots/text_or_model")
COSINE = Path("plots/cosine")
METRICS = Path("metrics")
OUT = Path("plots/evidence")
PICKED = ("variant", "trait", "layer", "auroc", "auroc_any_layer_p", "random_z", "p_holm", "moved")


def main() -> None:
    alpha = section(Evidence, "evidence").alpha
    variants = section(list[Id], "variants")
    others = [variant for variant in variants if variant != "base"]

    shifts = corrected(together(others, f"{COMPARE}/{{}}/profile.csv"), alpha)
    detected = ranked(corrected(together(others, f"{DETECT}/{{}}.csv"), alpha))
    effects = corrected(together(others, f"{TEXT_OR_MODEL}/{{}}.csv"), alpha)
    pairs = [f"{one}-{other}" for one in variants for other in variants]
    cosines = together(pairs, f"{COSINE}/{{}}.csv").drop(columns="variant")

    for table in (shifts, detected, effects):
        if len(table) and (undecided := table["moved"].isna().sum()):
            print(
                f"evidence: {undecided} of {len(table)} tests are not decided, their least p is "
                "too large for so many; raise compare.permutations or use more prompts, questions",
                file=sys.stderr,
            )
    for name, table in (
        ("shifts", shifts),
        ("detect", detected),
        ("text_or_model", effects),
        ("cosines", cosines),
    ):
        write_csv(OUT / f"{name}.csv", table)
    write_json(METRICS / "evidence.json", moved_table(shifts, alpha))
    chosen = detected[detected["chosen"] == 1] if len(detected) else detected
    # The layer is picked by these very figures: what is not corrected for that stays out.
    best = detected.drop_duplicates(["variant", "trait"]) if len(detected) else detected
    best = best[[name for name in PICKED if name in best]]
    write_json(
        METRICS / "detect.json",
        {
            "at_the_chosen_layer": nested(chosen, ["variant", "trait"]),
            "at_the_best_layer": nested(best, ["variant", "trait"]),
        },
    )
    write_json(METRICS / "text_or_model.json", nested(effects, ["variant", "trait", "effect"]))


if __name__ == "__main__":
    run(main)
