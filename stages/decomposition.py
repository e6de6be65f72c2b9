"""plots/decomposition/<variant>.csv: does a projection differ by what was said, or by who reads?

Base's text and the variant's, each read by base and by the variant: two by two. The vector is the
best candidate at the mean over the answer, the one position at which the text matters.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.comparison.decomposition import decompose
from traitdrift.comparison.settings import Compare
from traitdrift.core.config import section
from traitdrift.core.files import load_tensors, write_csv
from traitdrift.vectors.separation import choose, scalar_projections

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
    base, _ = load_tensors(ACTIVATIONS / "base.safetensors")
    moved, _ = load_tensors(ACTIVATIONS / f"{variant}.safetensors")
    streams = {**base, **moved}
    if variant == "base":  # no other text and no other reader
        streams = {
            f"{text}_text/{reader}_model/{POSITION}": base[f"base_text/base_model/{POSITION}"]
            for text in ("base", "variant")
            for reader in ("base", "variant")
        }
    records = []
    for path in sorted(VECTORS.glob("*.safetensors")):
        candidates = pandas.read_csv(CANDIDATES / f"{path.stem}.csv")
        candidates = candidates[candidates["position"] == POSITION]
        if not len(candidates):  # not among capture.positions
            continue
        choice = choose(candidates)
        vector = load_tensors(path)[0][f"{POSITION}/{choice['method']}"]
        cells = {
            (text, reader): scalar_projections(
                streams[f"{text}_text/{reader}_model/{POSITION}"], vector
            )[:, choice["layer"]].numpy()
            for text in ("base", "variant")
            for reader in ("base", "variant")
        }
        records += [
            {
                "trait": path.stem,
                **{key: choice[key] for key in ("position", "method", "layer")},
                **effect,
            }
            for effect in decompose(cells, settings)
        ]
    write_csv(OUT / f"{variant}.csv", pandas.DataFrame(records, columns=COLUMNS))


if __name__ == "__main__":
    run(main)
