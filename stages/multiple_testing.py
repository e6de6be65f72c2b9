"""metrics/multiple_testing.json, discrimination.json, decomposition.json: what stands after all
that was looked at.

Every p-value of a table is corrected for the whole table: traits, variants, classes, layers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stages import run
from traitdrift.comparison.settings import MultipleTesting
from traitdrift.core.config import Id, section
from traitdrift.core.files import read_tables, write_csv, write_json
from traitdrift.stats.multiple_testing import corrected, moved_table, nested, ranked

COMPARE = Path("plots/compare")
DISCRIMINATION = Path("plots/discrimination")
DECOMPOSITION = Path("plots/decomposition")
COSINE = Path("plots/cosine")
METRICS = Path("metrics")
OUT = Path("plots/multiple_testing")
PICKED = ("variant", "trait", "layer", "auroc", "auroc_any_layer_p", "random_z", "p_holm", "moved")


def main() -> None:
    alpha = section(MultipleTesting, "multiple_testing").alpha
    variants = section(list[Id], "variants")
    others = [variant for variant in variants if variant != "base"]

    shifts = corrected(read_tables(others, f"{COMPARE}/{{}}/profile.csv"), alpha)
    detected = ranked(corrected(read_tables(others, f"{DISCRIMINATION}/{{}}.csv"), alpha))
    effects = corrected(read_tables(others, f"{DECOMPOSITION}/{{}}.csv"), alpha)
    pairs = [f"{one}-{other}" for one in variants for other in variants]
    cosines = read_tables(pairs, f"{COSINE}/{{}}.csv").drop(columns="variant")

    for table in (shifts, detected, effects):
        if len(table) and (undecided := table["moved"].isna().sum()):
            print(
                f"multiple_testing: {undecided} of {len(table)} tests are not decided, their least "
                "p is too large for so many; raise compare.permutations or use more prompts or "
                "questions",
                file=sys.stderr,
            )
    for name, table in (
        ("shifts", shifts),
        ("discrimination", detected),
        ("decomposition", effects),
        ("cosines", cosines),
    ):
        write_csv(OUT / f"{name}.csv", table)
    write_json(METRICS / "multiple_testing.json", moved_table(shifts, alpha))
    chosen = detected[detected["chosen"] == 1] if len(detected) else detected
    # The layer is picked by these very figures: what is not corrected for that stays out.
    best = detected.drop_duplicates(["variant", "trait"]) if len(detected) else detected
    best = best[[name for name in PICKED if name in best]]
    write_json(
        METRICS / "discrimination.json",
        {
            "at_the_chosen_layer": nested(chosen, ["variant", "trait"]),
            "at_the_best_layer": nested(best, ["variant", "trait"]),
        },
    )
    write_json(METRICS / "decomposition.json", nested(effects, ["variant", "trait", "effect"]))


if __name__ == "__main__":
    run(main)
