"""plots/discrimination/<variant>.csv: which trait vector, in which layer, sees the fine-tune?

On the evaluation questions, not the trait prompts: base and variant read the same tokens (base's
responses where the vector's position is in the response), so what differs is the model.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.activations.response_file import read_response_activations
from traitdrift.comparison.discrimination import discriminate
from traitdrift.comparison.settings import Compare
from traitdrift.core.config import section
from traitdrift.core.files import read_json, write_csv
from traitdrift.vectors.file import read_vectors
from traitdrift.vectors.nulls import read_nulls

ACTIVATIONS = Path("data/response_activations")
VECTORS = Path("models/vectors")
NULLS = Path("models/nulls")
CHOICES = Path("metrics/vectors")
OUT = Path("plots/discrimination")


def main(variant: str) -> None:
    settings = section(Compare, "compare")
    activations = read_response_activations(ACTIVATIONS, variant)
    records = []
    for path in sorted(VECTORS.glob("*.safetensors")):
        chosen = read_json(CHOICES / f"{path.stem}.json")
        position, method = chosen["position"], chosen["method"]
        found = discriminate(
            activations.stream("base", "base", position),
            activations.stream("base", "variant", position),
            read_vectors(path).vectors(position, method),
            read_nulls(NULLS / path.name, "chosen"),
            settings,
        )
        records += [
            {
                "trait": path.stem,
                "position": position,
                "method": method,
                "layer": layer,
                "chosen": int(layer == chosen["layer"]),
                **record,
            }
            for layer, record in enumerate(found)
        ]
    write_csv(OUT / f"{variant}.csv", pandas.DataFrame(records))


if __name__ == "__main__":
    run(main)
