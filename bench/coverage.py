"""How often an interval holds what another fine-tune of the recipe does, in every layer.

`python -m bench.coverage FOLDER [OTHER.csv]`, of results with several draws (docs/replicates.md):
one draw's interval, which is over prompts alone, and that for a new fine-tune, which is over draws
and prompts. They are asked for each draw that was left out, and for the shifts of a run made
elsewhere (`plots/multiple_testing/shifts.csv` of it).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas

from traitdrift.comparison.replicates import recipes
from traitdrift.core.config import PARAMS
from traitdrift.core.files import read_table
from traitdrift.params import read
from traitdrift.stats.replicates import over_draws

COMPARE = "plots/compare"
PLACE = ["trait", "class"]
Shifts = dict[tuple[str, str], np.ndarray]  # [prompt, layer] by trait and class


def shifts(root: Path, draw: str) -> Shifts:
    """How far each prompt moved from base, along the chosen method and position in every layer."""
    base, tuned = (read_table(root / COMPARE / who / "layers.csv") for who in ("base", draw))
    moved = tuned.drop(columns=[*PLACE, "prompt"]) - base.drop(columns=[*PLACE, "prompt"])
    return {
        place: moved.loc[rows].to_numpy() for place, rows in tuned.groupby(PLACE).groups.items()
    }


def profile(table: pandas.DataFrame) -> dict[tuple[str, str], pandas.DataFrame]:
    """The mean shifts and their intervals over prompts, by trait and class, a row a layer."""
    chosen = table[table["choice"] == "chosen"].sort_values("layer")
    return {place: rows.reset_index() for place, rows in chosen.groupby(PLACE)}


def held_by_one(root: Path, draw: str, others: Mapping[tuple[str, str], np.ndarray]) -> list[bool]:
    """Whether the interval of a draw holds the mean shifts `[layer]` of another."""
    own = profile(read_table(root / COMPARE / draw / "profile.csv"))
    return [
        bool(held)
        for place, values in others.items()
        for held in (own[place]["low"] <= values) & (values <= own[place]["high"])
    ]


def held_by_several(
    draws: list[Shifts], others: Mapping[tuple[str, str], np.ndarray]
) -> list[bool]:
    """Whether the interval for a new fine-tune, of several draws, holds those."""
    found = []
    for place, values in others.items():
        for layer, value in enumerate(values):
            told = over_draws(np.stack([draw[place][:, layer] for draw in draws]), 0.95)
            found.append(told["new_low"] <= value <= told["new_high"])
    return found


def rows(root: Path, other: pandas.DataFrame | None) -> Iterator[dict[str, object]]:
    """What was asked, of how many shifts, and the shares that either interval holds."""
    params = read(root / PARAMS)
    for recipe, names in recipes(params.finetunes, params.drawn).items():
        drawn = {name: shifts(root, name) for name in names}
        asked: dict[str, tuple[dict[tuple[str, str], np.ndarray], list[str]]] = {}
        if other is not None and recipe in set(other["variant"]):
            values = profile(other[other["variant"] == recipe])
            means = {place: table["value"].to_numpy() for place, table in values.items()}
            asked[f"{recipe}, made elsewhere"] = means, names
        for name in names if len(names) > 1 else []:
            means = {place: values.mean(0) for place, values in drawn[name].items()}
            asked[f"{name}, left out"] = means, [one for one in names if one != name]
        for what, (means, by) in asked.items():
            one = [held for name in by for held in held_by_one(root, name, means)]
            row = {"asked": what, "shifts": sum(map(len, means.values())), "one draw": np.mean(one)}
            several = len(by) > 1
            held = held_by_several([drawn[name] for name in by], means) if several else np.nan
            yield row | {"draws": len(by), "a new fine-tune": np.mean(held)}


def main() -> None:
    folder, *others = sys.argv[1:]
    other = read_table(Path(others[0])) if others else None
    found = pandas.DataFrame(rows(Path(folder), other))
    print(found.to_string(index=False, float_format=lambda share: f"{100 * share:.1f} %"))


if __name__ == "__main__":
    main()
