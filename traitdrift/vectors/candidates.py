"""Every candidate vector of a trait, with what cross-validation and validation say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from traitdrift.core.classes import CLASSES
from traitdrift.core.side_by_side import float64_device, side_by_side
from traitdrift.vectors import separation
from traitdrift.vectors.file import mean_key, norm_key, threshold_key, vector_key
from traitdrift.vectors.methods import METHODS, MethodSettings, random
from traitdrift.vectors.settings import VectorSettings
from traitdrift.vectors.subspace import Subspace, lines, span


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
        positive, negative = (values[index[label, "train"]] for label in CLASSES)
        unseen_positive, unseen_negative = (values[index[label, "validation"]] for label in CLASSES)
        tensors[norm_key(position)] = separation.mean_norm(torch.cat([positive, negative]))
        tensors[mean_key(position, "positive")] = positive.float().mean(0)
        tensors[mean_key(position, "negative")] = negative.float().mean(0)
        found = candidates(positive, negative, settings, advance)
        vectors = torch.stack([vectors for vectors, _ in found.values()])
        scores = [
            projections(prompts, vectors)
            for prompts in (positive, negative, unseen_positive, unseen_negative)
        ]
        for i, (method, (_, on_folds)) in enumerate(found.items()):
            threshold, figures = validated(*(prompts[i] for prompts in scores))
            tensors[vector_key(position, method)] = vectors[i].clone()
            tensors[threshold_key(position, method)] = threshold.float()
            figures = {f"cv_{name}": figure for name, figure in on_folds.items()} | figures
            records += [
                {
                    "position": position,
                    "method": method,
                    "layer": layer,
                    **{name: figure[layer].item() for name, figure in figures.items()},
                }
                for layer in range(vectors.shape[1])
            ]
    return tensors, records


def candidates(
    positive: Tensor,
    negative: Tensor,
    settings: VectorSettings,
    advance: Callable[[int], None] = lambda done: None,
) -> dict[str, tuple[Tensor, dict[str, Tensor]]]:
    """Each method's vectors `[layer, hidden]`, and its figures `[layer]` by cross-validation.

    Classes are `[prompt, layer, hidden]`. All methods and folds go side by side in the
    coordinates of the training prompts.
    """
    values = torch.cat([positive, negative])
    knobs = replace(MethodSettings.of(settings), dimensions=values.shape[2])
    # A small trait may not fill every fold with two prompts of each class.
    few = min(settings.folds, len(positive) // 2, len(negative) // 2)
    folds = separation.assign(len(positive), len(negative), few, settings.seed)
    spanned = span(values)
    spaces: dict[str, Subspace] = {
        method: lines(values, settings.seed) if METHODS[method] is random else spanned
        for method in settings.methods
    }

    def fit(task: tuple[str, tuple[Tensor, Tensor] | None]) -> dict[str, Tensor]:
        method, fold = task
        p, n = spaces[method].coordinates.split([len(positive), len(negative)])
        if fold is None:
            return {"vectors": METHODS[method](p, n, knobs)}
        return separation.held_out(p, n, fold, METHODS[method], knobs)

    tasks = [(method, fold) for method in settings.methods for fold in (*folds, None)]
    fits = []
    for (_, fold), fitted in zip(tasks, side_by_side(fit, tasks), strict=True):
        fits.append(fitted)
        advance(fold is None)
    found: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
    for i, method in enumerate(settings.methods):
        *on_folds, whole = fits[i * (len(folds) + 1) : (i + 1) * (len(folds) + 1)]
        found[method] = spaces[method].lift(whole["vectors"]), separation.average(on_folds)
    return found


def projections(values: Tensor, vectors: Tensor) -> Tensor:
    """Scalar projections `[method, prompt, layer]`, float32, on vectors `[method, layer, hidden]`.

    As `separation.scalar_projections`, with each layer's activations brought to float64 once.
    """
    on = float64_device()

    def one(layer: int) -> Tensor:
        x, w = (t[:, layer].to(on, torch.float64) for t in (values, vectors))
        return (w @ x.T).float().cpu()

    return torch.stack([*side_by_side(one, range(vectors.shape[1]))], dim=-1)


def validated(
    positive: Tensor, negative: Tensor, unseen_positive: Tensor, unseen_negative: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The threshold `[layer]` of training projections, and figures `[layer]` of the unseen ones."""
    threshold = separation.threshold(positive, negative)
    unseen = unseen_positive, unseen_negative
    return threshold, {
        "auroc": separation.auroc(*unseen),
        "balanced_accuracy": separation.balanced_accuracy(*unseen, threshold),
        "cohens_d": separation.cohens_d(*unseen),
        "polarity": separation.polarity(*unseen),
        "threshold": threshold,
    }
