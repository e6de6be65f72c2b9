"""models/vectors/<trait>.safetensors: trait vectors by every method, layer and position.

The choice of (position, method, layer) is made by cross-validation on the training prompts. The
validation prompts give the figures that are reported, and decide nothing.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import load_tensors, read_jsonl, save_tensors, write_csv, write_json
from traitdrift.core.progress import progress
from traitdrift.vectors import separation
from traitdrift.vectors.candidates import extract
from traitdrift.vectors.settings import VectorSettings

PROMPTS = Path("data/prompts")
ACTIVATIONS = Path("data/activations/base")
OUT = Path("models/vectors")
METRICS = Path("metrics/vectors")
CANDIDATES = Path("plots/vectors")
CARRIED = (
    "model",
    "base_digest",
    "set_digest",
    "answers_digest",
    "answers",
    "hook_point",
    "layer_origin",
)


def main() -> None:
    settings = section(VectorSettings, "vectors")
    traits = sorted(ACTIVATIONS.glob("*.safetensors"))
    for path in traits:
        activations, description = load_tensors(path)
        rows = [row for _, row in read_jsonl(PROMPTS / f"{path.stem}.jsonl")]
        with progress(f"vectors {path.stem}", len(activations) * len(settings.methods)) as advance:
            tensors, candidates = extract(activations, rows, settings, advance)
        table = pandas.DataFrame(candidates)
        chosen = separation.choose(table)

        save_tensors(
            OUT / f"{path.stem}.safetensors",
            tensors,
            {
                "kind": "vectors",
                "shape": ["layer", "hidden"],
                "trait": path.stem,
                "norm": "unit",
                "sign": "the positive class of the training prompts projects higher",
                "threshold": "midpoint of the class means of the training prompts",
                "residual_norm": "mean L2 norm of base's stream on the training prompts",
                "settings": settings.model_dump(),
                "chosen": {key: chosen[key] for key in ("position", "method", "layer")},
                "dtype": "float32",
                **{key: description[key] for key in CARRIED},
            },
        )
        write_csv(CANDIDATES / f"{path.stem}.csv", table.round(6))
        write_json(METRICS / f"{path.stem}.json", chosen)


if __name__ == "__main__":
    run(main)
