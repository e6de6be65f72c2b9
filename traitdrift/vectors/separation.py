"""How well a direction tells two classes of prompts apart.

The figures take projections, one column for each layer (or direction), and return one float64
number a column; none of them needs to know which method made the direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Settings = TypeVar("Settings")


def scalar_projections(activations: Tensor, vectors: Tensor) -> Tensor:
    """Return the scalar projections `[prompt, layer]`, float32, in units of the residual stream.

    `activations` is `[prompt, layer, hidden]`, `vectors` is `[layer, hidden]`. The products are
    summed in float64: a common offset, or a sink dimension a thousand times larger than the rest,
    would otherwise cost digits that depend on how many prompts are projected at once. Raises
    ValueError if the shapes do not fit.
    """
    if activations.ndim != 3 or activations.shape[1:] != vectors.shape:
        raise ValueError(
            "expected activations [prompt, layer, hidden] and vectors [layer, hidden], "
            f"got {list(activations.shape)} and {list(vectors.shape)}"
        )
    return torch.einsum("plh,lh->pl", activations.double(), vectors.double()).float()


def mean_norm(activations: Tensor) -> Tensor:
    """Return the mean L2 norm `[layer]`, float64, of streams `[prompt, layer, hidden]`.

    It is the unit of steering coefficients: 1 adds a vector as long as the stream itself.
    """
    # A layer at a time: all of them in float64 are four times the activations.
    norms = [layer.double().norm(dim=-1) for layer in activations.split(1, dim=1)]
    return torch.cat(norms, dim=1).mean(0)


def auroc(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the area under the ROC curve `[k]` of projections `[n, k]` against `[m, k]`.

    It is the share of (positive, negative) pairs in which the positive projects higher, a tie
    counting half (Mann & Whitney 1947). Raises ValueError on bad shapes, an empty class or values
    that are not finite, as do all figures here.
    """
    positive, negative = _columns(positive, negative)
    ordered = negative.T.contiguous().sort(dim=-1).values
    scores = positive.T.contiguous()
    below = torch.searchsorted(ordered, scores)
    below_or_tied = torch.searchsorted(ordered, scores, right=True)
    return (below + below_or_tied).double().mean(-1) / (2 * len(negative))


def cohens_d(positive: Tensor, negative: Tensor) -> Tensor:
    """Return Cohen's d `[k]`: the gap of the class means in pooled standard deviations (ddof 1).

    d = (mean+ - mean-) / sqrt((SS+ + SS-) / (n + m - 2)), SS being the sum of squares about the
    class mean (Cohen 1988, section 2.5). Without any spread d is 0 where the means agree and
    infinite where they differ. Raises ValueError if the two classes hold fewer than 3 prompts.
    """
    positive, negative = _columns(positive, negative)
    freedom = len(positive) + len(negative) - 2
    if freedom < 1:
        raise ValueError("Cohen's d needs at least 3 prompts in the two classes together")
    one, other = ((x - x.mean(0)).square().sum(0) for x in (positive, negative))
    gap = positive.mean(0) - negative.mean(0)
    return torch.where(gap == 0, gap, gap / ((one + other) / freedom).sqrt())


def threshold(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the decision threshold `[k]` midway between the class means of the projections.

    Make it from training projections only. The midpoint is preferred to the threshold of highest
    training accuracy because that one is decided by the few prompts nearest to the boundary, and
    is any point of an interval once the classes separate.
    """
    positive, negative = _columns(positive, negative)
    return (positive.mean(0) + negative.mean(0)) / 2


def balanced_accuracy(positive: Tensor, negative: Tensor, threshold: Tensor) -> Tensor:
    """Return `[k]`, the mean of the two class accuracies, at a given threshold `[k]`.

    A projection above the threshold is called positive, one at or below it negative. Nothing is
    fitted here.
    """
    positive, negative = _columns(positive, negative)
    hits = (positive > threshold).double().mean(0)
    rejections = (negative <= threshold).double().mean(0)
    return (hits + rejections) / 2


def polarity(positive: Tensor, negative: Tensor) -> Tensor:
    """Return `[k]` int64: 1 where the positive class mean projects higher, -1 lower, 0 equal."""
    positive, negative = _columns(positive, negative)
    return (positive.mean(0) - negative.mean(0)).sign().long()


def cross_validate(
    positive: Tensor,
    negative: Tensor,
    method: Callable[[Tensor, Tensor, Settings], Tensor],
    settings: Settings,
    folds: int,
    seed: int,
) -> dict[str, Tensor]:
    """Return `auroc` and `cohens_d`, each `[layer]`, of `method` on prompts it was not fitted to.

    `positive` and `negative` are `[prompt, layer, hidden]`. Each fold's direction is fitted on the
    other folds. The figures are computed fold by fold and then averaged, because the scale and
    offset of the projections differ between folds. With equal counts prompt i of both classes
    falls into the same fold, so pairs stay together; otherwise each class is divided by itself.
    Raises ValueError with fewer than 2 folds, or fewer than 2 prompts a class in a fold.
    """
    return average(
        [
            held_out(positive, negative, fold, method, settings)
            for fold in assign(len(positive), len(negative), folds, seed)
        ]
    )


def held_out(
    positive: Tensor,
    negative: Tensor,
    fold: tuple[Tensor, Tensor],
    method: Callable[[Tensor, Tensor, Settings], Tensor],
    settings: Settings,
) -> dict[str, Tensor]:
    """`auroc` and `cohens_d`, each `[layer]`, on a fold's prompts of what the others give."""
    positive_fold, negative_fold = fold
    vectors = method(positive[~positive_fold], negative[~negative_fold], settings)
    projections = (
        scalar_projections(positive[positive_fold], vectors),
        scalar_projections(negative[negative_fold], vectors),
    )
    return {"auroc": auroc(*projections), "cohens_d": cohens_d(*projections)}


def assign(positives: int, negatives: int, folds: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """For each fold the held-out masks of the two classes, as `cross_validate` tells."""
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, got {folds}")
    smallest = min(positives, negatives)
    if smallest < 2 * folds:
        raise ValueError(
            f"{folds} folds need at least {2 * folds} prompts a class, the smaller has {smallest}; "
            "add prompts, or lower vectors.folds"
        )
    generator = np.random.default_rng(seed)

    def assigned(count: int) -> Tensor:
        return torch.from_numpy(generator.permutation(np.arange(count) % folds))

    positive = assigned(positives)
    negative = positive if negatives == positives else assigned(negatives)
    return [(positive == fold, negative == fold) for fold in range(folds)]


def average(folds: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over the folds of each figure."""
    return {name: torch.stack([fold[name] for fold in folds]).mean(0) for name in folds[0]}


def _columns(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Return both classes in float64, checked to be non-empty, finite and of equal width."""
    if positive.ndim != 2 or negative.ndim != 2 or positive.shape[1] != negative.shape[1]:
        raise ValueError(
            "expected projections [n, k] and [m, k], "
            f"got {list(positive.shape)} and {list(negative.shape)}"
        )
    if not len(positive) or not len(negative):
        raise ValueError("a class without prompts has no figures")
    if not (positive.isfinite().all() and negative.isfinite().all()):
        raise ValueError("projections hold values that are not finite")
    return positive.double(), negative.double()
