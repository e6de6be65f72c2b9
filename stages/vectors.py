"""models/vectors/<trait>.safetensors: trait vectors by every method, layer and position.

The choice of (position, method, layer) is made by cross-validation on the training prompts. The
validation prompts give the figures that are reported, and decide nothing.
"""

from __future__ import annotations

from pathlib import Path

import pandas
import torch

from stages import run
from traitdrift import evaluation
from traitdrift.artifacts import load_tensors, read_jsonl, save_tensors, write_csv, write_json
from traitdrift.methods import METHODS, MethodSettings
from traitdrift.params import Vectors, read
from traitdrift.progress import progress

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
    settings = read().vectors
    traits = sorted(ACTIVATIONS.glob("*.safetensors"))
    for path in traits:
        activations, description = load_tensors(path)
        rows = [row for _, row in read_jsonl(PROMPTS / f"{path.stem}.jsonl")]
        with progress(f"vectors {path.stem}", len(activations) * len(settings.methods)) as advance:
            tensors, candidates = extract(activations, rows, settings, advance)
        table = pandas.DataFrame(candidates)
        chosen = evaluation.choose(table)

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


def extract(
    activations: dict[str, torch.Tensor], rows: list[dict], settings: Vectors, advance
) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Vectors, class means, norms and thresholds; a record per position, method and layer."""

    def chosen_rows(label: str, split: str) -> list[int]:
        return [i for i, row in enumerate(rows) if (row["class"], row["split"]) == (label, split)]

    knobs = MethodSettings.of(settings)
    tensors, candidates = {}, []
    for position, values in activations.items():
        (pos, neg), (pos_val, neg_val) = (
            [values[chosen_rows(label, split)].float() for label in ("positive", "negative")]
            for split in ("train", "validation")
        )
        # A small trait may not fill every fold with two prompts of each class.
        folds = min(settings.folds, len(pos) // 2, len(neg) // 2)
        tensors[f"{position}/residual.norm"] = evaluation.mean_norm(torch.cat([pos, neg]))
        tensors[f"{position}/positive.mean"] = pos.mean(0)
        tensors[f"{position}/negative.mean"] = neg.mean(0)
        for name in settings.methods:
            method = METHODS[name]
            unseen = evaluation.cross_validate(pos, neg, method, knobs, folds, settings.seed)
            vectors = method(pos, neg, knobs)
            threshold = evaluation.threshold(
                evaluation.project(pos, vectors), evaluation.project(neg, vectors)
            )
            held = evaluation.project(pos_val, vectors), evaluation.project(neg_val, vectors)
            figures = {
                "cv_auroc": unseen["auroc"],
                "cv_cohens_d": unseen["cohens_d"],
                "auroc": evaluation.auroc(*held),
                "balanced_accuracy": evaluation.balanced_accuracy(*held, threshold),
                "cohens_d": evaluation.cohens_d(*held),
                "polarity": evaluation.polarity(*held),
                "threshold": threshold,
            }
            candidates += [
                {
                    "position": position,
                    "method": name,
                    "layer": layer,
                    **{key: figure[layer].item() for key, figure in figures.items()},
                }
                for layer in range(len(vectors))
            ]
            tensors[f"{position}/{name}"] = vectors
            tensors[f"{position}/{name}.threshold"] = threshold.float()
            advance(1)
    return tensors, candidates


if __name__ == "__main__":
    run(main)
