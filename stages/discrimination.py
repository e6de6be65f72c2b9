"""plots/discrimination/<variant>.csv: which trait vector, in which layer, sees the fine-tune?

On the evaluation questions, not the trait prompts: base and variant read the same tokens (base's
answers where the vector's position is in the answer), so what differs is the model.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.comparison.discrimination import as_far, auroc_interval, random_auroc
from traitdrift.comparison.settings import Compare
from traitdrift.comparison.shift import shift_by_layer
from traitdrift.core.config import section
from traitdrift.core.files import load_tensors, read_json, rounded, write_csv
from traitdrift.vectors.choice import choices
from traitdrift.vectors.separation import auroc, scalar_projections

ACTIVATIONS = Path("data/response_activations")
VECTORS = Path("models/vectors")
NULLS = Path("models/nulls")
CHOICES = Path("metrics/vectors")
OUT = Path("plots/discrimination")


def main(variant: str) -> None:
    settings = section(Compare, "compare")
    base, _ = load_tensors(ACTIVATIONS / "base.safetensors")
    moved, _ = load_tensors(ACTIVATIONS / f"{variant}.safetensors")
    reader = "base" if variant == "base" else "variant"
    records = []
    for path in sorted(VECTORS.glob("*.safetensors")):
        vectors, _ = load_tensors(path)
        nulls, _ = load_tensors(NULLS / path.name)
        choice = choices(
            read_json(CHOICES / f"{path.stem}.json"),
            settings.study_position,
            settings.study_method,
            vectors,
        )["chosen"]
        before = base[f"base_text/base_model/{choice.position}"]
        after = moved[f"base_text/{reader}_model/{choice.position}"]
        vector = vectors[choice.key]
        along = nulls["random"][:, None].expand(-1, len(vector), -1)
        beside = {"random": along, "permuted": nulls["chosen"]}
        rows = shift_by_layer(before, after, vector, beside, settings, settings.seed)
        scores = scalar_projections(after, vector), scalar_projections(before, vector)
        told, (low, high) = auroc(*scores), auroc_interval(*scores, settings)
        by_chance = (random_auroc(after, before, nulls["random"]) - 0.5).abs()
        any_layer = by_chance.amax(0)
        for layer, row in enumerate(rows):
            records.append(
                {
                    "trait": path.stem,
                    "position": choice.position,
                    "method": choice.method,
                    "layer": layer,
                    "chosen": int(layer == choice.layer),
                    "auroc": rounded(told[layer].item()),
                    "auroc_low": rounded(low[layer]),
                    "auroc_high": rounded(high[layer]),
                    "auroc_random_p": as_far(told[layer], by_chance[layer]),
                    "auroc_any_layer_p": as_far(told[layer], any_layer),
                    **row,
                }
            )
    write_csv(OUT / f"{variant}.csv", pandas.DataFrame(records))


if __name__ == "__main__":
    run(main)
