"""models/nulls/<trait>.safetensors: vectors that mean nothing, for a trait's vector to beat.

`random` are isotropic unit vectors, one set for every layer. `chosen` and `study` are made as the
trait's own vectors at those choices were, from training prompts whose class labels were shuffled.
"""

from __future__ import annotations

from pathlib import Path

import torch

from stages import run
from traitdrift.core.config import MethodName, Position, section
from traitdrift.core.files import load_tensors, read_json, read_jsonl, save_tensors
from traitdrift.core.progress import progress
from traitdrift.stats.sphere import unit_vectors
from traitdrift.vectors.choice import choices
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.null_settings import Nulls
from traitdrift.vectors.nulls import shuffled
from traitdrift.vectors.settings import VectorSettings

PROMPTS = Path("data/prompts")
ACTIVATIONS = Path("data/activations/base")
CHOICES = Path("metrics/vectors")
OUT = Path("models/nulls")


def main() -> None:
    settings, knobs = section(Nulls, "nulls"), MethodSettings.of(section(VectorSettings, "vectors"))
    study_position = section(Position, "compare.study_position")
    study_method = section(MethodName, "compare.study_method")
    for path in sorted(ACTIVATIONS.glob("*.safetensors")):
        activations, described = load_tensors(path)
        rows = [row for _, row in read_jsonl(PROMPTS / f"{path.stem}.jsonl")]
        training = [i for i, row in enumerate(rows) if row["split"] == "train"]
        positives = sum(rows[i]["class"] == "positive" for i in training)
        hidden = next(iter(activations.values())).shape[-1]
        tensors = {
            "random": torch.from_numpy(unit_vectors(settings.count, hidden, settings.seed)).float()
        }
        chosen = read_json(CHOICES / f"{path.stem}.json")
        looked_at = choices(chosen, study_position, study_method, activations)
        with progress(f"nulls {path.stem}", settings.count * len(looked_at)) as advance:
            for name, choice in looked_at.items():
                values = activations[choice.position][training][:, choice.layers].float()
                tensors[name] = shuffled(
                    values, positives, METHODS[choice.method], knobs, settings, advance
                )
        save_tensors(
            OUT / path.name,
            tensors,
            {
                "kind": "nulls",
                "shape": ["null", "layer", "hidden"],
                "trait": path.stem,
                "norm": "unit",
                "layers": {name: choice.layers for name, choice in looked_at.items()},
                "settings": settings.model_dump(),
                "base_digest": described["base_digest"],
                "dtype": "float32",
            },
        )


if __name__ == "__main__":
    run(main)
