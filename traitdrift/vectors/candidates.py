"""Every candidate vector of a trait, with what cross-validation and validation say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from traitdrift.core.classes import CLASSES
from traitdrift.vectors import separation
from traitdrift.vectors.file import mean_key, norm_key, threshold_key, vector_key
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.separation import scalar_projections
from traitdrift.vectors.settings import VectorSettings


def extract(
    streams: Mapping[str, Tensor],
    index: Mapping[tuple[str, str], Sequence[int]],
    settings: VectorSettings,
    advance: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The tensors of a trait's vector file, and a record per position, method and layer.

    `streams` are base's activations `[prompt, layer, hidden]` by position, `index` the prompts of
    each `(class, split)`. Vectors, class means, norms and thresholds are made of the training
    prompts. A record holds `cv_auroc` and `cv_cohens_d` on the training prompts, and on the
    validation prompts `auroc`, `balanced_accuracy`, `cohens_d` and `polarity`. `advance` is called
    for each position and method.
    """
    tensors: dict[str, Tensor] = {}
    records: list[dict[str, Any]] = []
    for position, values in streams.items():
        (positive, negative), (unseen_positive, unseen_negative) = (
            tuple(values[index[label, split]].float() for label in CLASSES)
            for split in ("train", "validation")
        )
        unseen = unseen_positive, unseen_negative
        tensors[norm_key(position)] = separation.mean_norm(torch.cat([positive, negative]))
        tensors[mean_key(position, "positive")] = positive.mean(0)
        tensors[mean_key(position, "negative")] = negative.mean(0)
        for method in settings.methods:
            vectors, threshold, figures = candidate(method, positive, negative, unseen, settings)
            tensors[vector_key(position, method)] = vectors
            tensors[threshold_key(position, method)] = threshold.float()
            records += [
                {
                    "position": position,
                    "method": method,
                    "layer": layer,
                    **{name: figure[layer].item() for name, figure in figures.items()},
                }
                for layer in range(len(vectors))
            ]
            advance(1)
    return tensors, records


def candidate(
    method: str,
    positive: Tensor,
    negative: Tensor,
    unseen: tuple[Tensor, Tensor],
    settings: VectorSettings,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """A method's vectors `[layer, hidden]`, their threshold `[layer]`, and figures `[layer]`.

    Classes are `[prompt, layer, hidden]`; `unseen` are the two of the validation prompts.
    """
    fit, knobs = METHODS[method], MethodSettings.of(settings)
    # A small trait may not fill every fold with two prompts of each class.
    folds = min(settings.folds, len(positive) // 2, len(negative) // 2)
    on_folds = separation.cross_validate(positive, negative, fit, knobs, folds, settings.seed)
    vectors = fit(positive, negative, knobs)
    threshold = separation.threshold(
        scalar_projections(positive, vectors), scalar_projections(negative, vectors)
    )
    validated = scalar_projections(unseen[0], vectors), scalar_projections(unseen[1], vectors)
    return (
        vectors,
        threshold,
        {
            "cv_auroc": on_folds["auroc"],
            "cv_cohens_d": on_folds["cohens_d"],
            "auroc": separation.auroc(*validated),
            "balanced_accuracy": separation.balanced_accuracy(*validated, threshold),
            "cohens_d": separation.cohens_d(*validated),
            "polarity": separation.polarity(*validated),
            "threshold": threshold,
        },
    )
