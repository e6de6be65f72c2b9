"""plots/cosine/<one>-<other>.csv: do traits and fine-tunes point the same way, layer by layer?

The cell of a variant with itself holds its shift against every trait (the cell of base: traits
against traits), the cell of two variants their shifts against each other.
"""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import pandas
import torch

from stages import run
from traitdrift.comparison.model_shift import read_shifts
from traitdrift.core.files import read_json, write_csv
from traitdrift.vectors.file import read_vectors

SHIFTS = Path("models/shifts")
VECTORS = Path("models/vectors")
CHOICES = Path("metrics/vectors")
OUT = Path("plots/cosine")
POSITIONS = ("prompt_last", "response_mean")


def main(one: str, other: str) -> None:
    if one != other:
        once = one < other and "base" not in (one, other)  # base has no shift
        pairs = product(shifts(one).items(), shifts(other).items()) if once else []
    elif one == "base":
        pairs = combinations(traits().items(), 2)
    else:
        of_variant = shifts(one).items()
        pairs = [*product(traits().items(), of_variant), *combinations(of_variant, 2)]
    table = pandas.DataFrame(
        [
            {"one": name, "other": other_name, "layer": layer, "cosine": round(cosine.item(), 6)}
            for (name, first), (other_name, second) in pairs
            for layer, cosine in enumerate((first.double() * second.double()).sum(-1))
        ],
        columns=["one", "other", "layer", "cosine"],
    )
    write_csv(OUT / f"{one}-{other}.csv", table)


def traits() -> dict[str, torch.Tensor]:
    """Every trait's unit vectors `[layer, hidden]`, by the chosen method and position."""
    found = {}
    for path in sorted(VECTORS.glob("*.safetensors")):
        chosen = read_json(CHOICES / f"{path.stem}.json")
        found[path.stem] = read_vectors(path).vectors(chosen["position"], chosen["method"])
    return found


def shifts(variant: str) -> dict[str, torch.Tensor]:
    """A variant's unit shifts `[layer, hidden]`, by a name with the position."""
    by_position = read_shifts(SHIFTS / f"{variant}.safetensors")
    return {f"shift of {variant}, {p}": by_position[p] for p in POSITIONS if p in by_position}


if __name__ == "__main__":
    run(main)
