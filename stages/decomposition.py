"""plots/decomposition/<variant>.csv: does a projection differ by what was said, or by who reads?

Base's text and the variant's, each read by base and by the variant: two by two. The vector is the
best candidate at the mean over the response, the one position at which the text matters.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas

from stages import run
from traitdrift.activations.response_file import SIDES, read_response_activations
from traitdrift.comparison.decomposition import decompose
from traitdrift.comparison.settings import Compare
from traitdrift.core.config import section
from traitdrift.core.files import write_csv
from traitdrift.vectors.choice import choose
from traitdrift.vectors.file import read_vectors
from traitdrift.vectors.separation import scalar_projections

ACTIVATIONS = Path("data/response_activations")
VECTORS = Path("models/vectors")
CANDIDATES = Path("plots/vectors")
OUT = Path("plots/decomposition")
POSITION = "response_mean"
COLUMNS = [
    *("trait", "position", "method", "layer"),
    *("effect", "value", "low", "high", "p", "p_least", "share", "share_low", "share_high"),
]


def main(variant: str) -> None:
    settings = section(Compare, "compare")
    activations = read_response_activations(ACTIVATIONS, variant)
    records = []
    for path in sorted(VECTORS.glob("*.safetensors")):
        candidates = pandas.read_csv(CANDIDATES / f"{path.stem}.csv")
        candidates = candidates[candidates["position"] == POSITION]
        if not len(candidates):  # not among capture.positions
            continue
        choice = choose(candidates)
        named = {key: choice[key] for key in ("position", "method", "layer")}
        vectors = read_vectors(path).vectors(POSITION, choice["method"])
        projections = {
            sides: scalar_projections(activations.stream(*sides, POSITION), vectors)
            for sides in product(SIDES, SIDES)
        }
        effects = decompose(
            {sides: values[:, choice["layer"]].numpy() for sides, values in projections.items()},
            settings,
        )
        records += [{"trait": path.stem, **named, **effect} for effect in effects]
    write_csv(OUT / f"{variant}.csv", pandas.DataFrame(records, columns=COLUMNS))


if __name__ == "__main__":
    run(main)
