"""Every candidate vector of a trait, with what cross-validation and validation say of it."""

from __future__ import annotations

import torch

from traitdrift.core.config import CLASSES
from traitdrift.vectors import separation
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.settings import VectorSettings


def extract(
    activations: dict[str, torch.Tensor], rows: list[dict], settings: VectorSettings, advance
) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Vectors, class means, norms and thresholds; a record per position, method and layer."""

    def chosen_rows(label: str, split: str) -> list[int]:
        return [i for i, row in enumerate(rows) if (row["class"], row["split"]) == (label, split)]

    knobs = MethodSettings.of(settings)
    tensors, candidates = {}, []
    for position, values in activations.items():
        (pos, neg), (pos_val, neg_val) = (
            [values[chosen_rows(label, split)].float() for label in CLASSES]
            for split in ("train", "validation")
        )
        # A small trait may not fill every fold with two prompts of each class.
        folds = min(settings.folds, len(pos) // 2, len(neg) // 2)
        tensors[f"{position}/residual.norm"] = separation.mean_norm(torch.cat([pos, neg]))
        tensors[f"{position}/positive.mean"] = pos.mean(0)
        tensors[f"{position}/negative.mean"] = neg.mean(0)
        for name in settings.methods:
            method = METHODS[name]
            unseen = separation.cross_validate(pos, neg, method, knobs, folds, settings.seed)
            vectors = method(pos, neg, knobs)
            threshold = separation.threshold(
                separation.scalar_projections(pos, vectors),
                separation.scalar_projections(neg, vectors),
            )
            held = (
                separation.scalar_projections(pos_val, vectors),
                separation.scalar_projections(neg_val, vectors),
            )
            figures = {
                "cv_auroc": unseen["auroc"],
                "cv_cohens_d": unseen["cohens_d"],
                "auroc": separation.auroc(*held),
                "balanced_accuracy": separation.balanced_accuracy(*held, threshold),
                "cohens_d": separation.cohens_d(*held),
                "polarity": separation.polarity(*held),
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
