"""plots/figures/: the tables behind `dvc plots show`, and the same as pictures for people."""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.core.config import Id, section
from traitdrift.core.files import read_json, write_csv
from traitdrift.report import figures
from traitdrift.stats.multiple_testing import together

PLOTS = Path("plots")
CHOICES = Path("metrics/vectors")
OUT = Path("plots/figures")


def main() -> None:
    variants = section(list[Id], "variants")
    others = [variant for variant in variants if variant != "base"]
    chosen = {path.stem: read_json(path) for path in sorted(CHOICES.glob("*.json"))}

    trained = [variant for variant in others if (PLOTS / f"finetune/{variant}.csv").exists()]
    losses = together(trained, f"{PLOTS}/finetune/{{}}.csv")
    candidates = together(list(chosen), f"{PLOTS}/vectors/{{}}.csv", "trait")
    profile = together(others, f"{PLOTS}/compare/{{}}/profile.csv")
    profile = profile[profile["choice"] == "chosen"] if len(profile) else profile
    rates = together(variants, f"{PLOTS}/behaviour/{{}}/rates.csv")
    rates = rates[rates["question"] == "all"].drop(columns="question") if len(rates) else rates
    prompts = together(variants, f"{PLOTS}/compare/{{}}/prompts.csv", "who").rename(
        columns={"variant": "projection", "who": "variant"}
    )
    steered = together(variants, f"{PLOTS}/steer/{{}}/rates.csv")
    detected, effects, cosines = (
        pandas.read_csv(PLOTS / f"multiple_testing/{name}.csv")
        for name in ("discrimination", "decomposition", "cosines")
    )

    tables = {
        "loss": (losses, lambda: figures.loss_curves(losses)),
        "auroc": (candidates, lambda: figures.auroc_map(candidates, chosen)),
        "projections": (prompts, lambda: figures.projections(prompts, chosen)),
        "shift": (profile, lambda: figures.shift_profile(profile, chosen)),
        "behaviour": (rates, lambda: figures.behaviour_bars(rates)),
        "steer": (steered, lambda: figures.steering(steered)),
        "discrimination": (detected, lambda: figures.discrimination(detected)),
        "decomposition": (effects, lambda: figures.decomposition(effects)),
        "cosines": (cosines, lambda: figures.cosine_map(cosines)),
    }
    for name, (table, draw) in tables.items():
        write_csv(OUT / f"{name}.csv", table)
        # Without a fine-tune there is no loss, with base alone no shift: no picture of nothing.
        if len(table):
            figures.save(draw(), OUT / f"{name}.png")


if __name__ == "__main__":
    run(main)
