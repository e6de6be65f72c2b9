"""Six ways to find a trait vector: a direction along which two classes of prompts differ.

Every method takes the activations of a positive and a negative class, `[prompt, layer, hidden]`
each, and returns float32 `[layer, hidden]` of unit norm, signed so that the mean of the positive
prompts projects higher. Layers are solved side by side but independently of each other, in
float64, and a seeded start is the same for every layer, so a layer's vector does not depend on
which others are in the batch (`random` excepted, whose draw depends on the layer's index).

There are usually fewer prompts than dimensions. Whatever a method can learn then lies in the span
of the prompts, so the methods work on the prompt-by-prompt Gram matrix instead of the
hidden-by-hidden covariance: the result is the same and the cost falls from hidden^3 to prompt^3.
In float64 that squaring costs no digit that bfloat16 or float32 activations have.

All methods raise ValueError when the shapes do not fit, a value is not finite, a class has fewer
than 2 prompts, or a layer gives no direction because the classes do not differ in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from traitdrift.core.side_by_side import one_thread
from traitdrift.stats.sphere import unit_vectors
from traitdrift.vectors.separation import auroc, cohens_d

if TYPE_CHECKING:
    from traitdrift.vectors.settings import VectorSettings


_PROBE_MAX_STEPS = 100
_ICA_STARTS = 4
_ICA_TOLERANCE = 1e-6


@dataclass(frozen=True)
class MethodSettings:
    """What the methods can be told; every method reads only its own fields.

    seed: start of `gradient` and `ica`, draw of `random`.
    probe_c: inverse strength of the L2 penalty, for features of unit RMS (see `probe`).
    probe_tolerance: relative residual of the optimality condition.
    gradient_learning_rate: of Adam, for a unit vector in whitened coordinates (see `gradient`).
    gradient_tolerance: angle to the optimum in radians, to first order.
    gradient_max_steps: after which the layers that did not converge are warned about.
    gradient_shrinkage: in (0, 1], weight of the isotropic part of the within-class covariance.
    ica_components: principal components kept before rotation.
    ica_max_iterations: after which the layers that did not converge are warned about.
    dimensions: of the stream, where the activations are coordinates in a subspace of it; `probe`
        and `gradient` take a mean over all dimensions, also those in which nothing varies.
    """

    seed: int = 0
    probe_c: float = 0.1
    probe_tolerance: float = 1e-6
    gradient_learning_rate: float = 0.02
    gradient_tolerance: float = 1e-3
    gradient_max_steps: int = 2000
    gradient_shrinkage: float = 0.5
    ica_components: int = 8
    ica_max_iterations: int = 1000
    dimensions: int | None = None

    @classmethod
    def of(cls, settings: VectorSettings) -> MethodSettings:
        """The settings in the `vectors` block of params.yaml."""
        return cls(
            seed=settings.seed,
            probe_c=settings.probe.c,
            probe_tolerance=settings.probe.tolerance,
            gradient_learning_rate=settings.gradient.learning_rate,
            gradient_shrinkage=settings.gradient.shrinkage,
            gradient_tolerance=settings.gradient.tolerance,
            gradient_max_steps=settings.gradient.max_steps,
            ica_components=settings.ica.components,
            ica_max_iterations=settings.ica.max_iterations,
        )


@one_thread()
def mean_diff(positive: Tensor, negative: Tensor, settings: MethodSettings) -> Tensor:
    """Return the difference of the class means (Marks & Tegmark 2023, arXiv 2310.06824)."""
    p, n = _layers_first(positive, negative)
    return _finish(p.mean(1) - n.mean(1), positive, negative)


@one_thread()
def probe(positive: Tensor, negative: Tensor, settings: MethodSettings) -> Tensor:
    """Return the weights of an L2 logistic regression with a free intercept, at its optimum.

    Minimises |w|^2 / 2 + C sum_i log(1 + exp(-y_i (w.x_i + b))) over w and b, as scikit-learn's
    `LogisticRegression(C=probe_c)` does. Features x are the activations, centred, divided by one
    number a layer: the root mean square over all prompts and dimensions. So C means the same in a
    layer with small and with large activations, while the geometry within a layer, which scaling
    each dimension by its own deviation would change, is kept. Separable classes are no trouble:
    the penalty keeps w finite.

    Newton's method on w = sum_i a_i x_i (Rasmussen & Williams 2006, algorithm 3.1, extended by the
    intercept), halving a step that would raise the loss. At the optimum a_i = C (t_i - p_i), t
    being the 0/1 label and p the predicted probability; it stops when this holds to
    `probe_tolerance`, relative to |a|.
    """
    p, n = _layers_first(positive, negative)
    x = torch.cat([p, n], dim=1)
    x = x - x.mean(1, keepdim=True)
    dimensions = settings.dimensions or x.shape[2]
    x = x / (x.square().mean((1, 2), keepdim=True) * (x.shape[2] / dimensions)).sqrt()
    gram = x @ x.mT
    labels = torch.cat([x.new_ones(p.shape[1]), x.new_zeros(n.shape[1])])
    identity = torch.eye(len(labels), dtype=x.dtype, device=x.device)
    c = settings.probe_c

    def loss(a: Tensor, b: Tensor) -> Tensor:
        ka = _apply(gram, a)
        margins = (ka + b) * (2 * labels - 1)
        return (a * ka).sum(-1, keepdim=True) / 2 - c * torch.nn.functional.logsigmoid(margins).sum(
            -1, keepdim=True
        )

    a = x.new_zeros(len(x), len(labels))
    b = x.new_zeros(len(x), 1)
    for _ in range(_PROBE_MAX_STEPS):
        scores = _apply(gram, a) + b
        probabilities = scores.sigmoid()
        optimum = c * (labels - probabilities)
        residual = (a - optimum).norm(dim=-1) / optimum.norm(dim=-1)
        if (residual < settings.probe_tolerance).all():
            break
        # Newton: a' = D (z - K a' - b'), 1.a' = 0, with D the curvature and z the working response.
        root = (c * probabilities * (1 - probabilities)).clamp_min(1e-20).sqrt()
        factor = torch.linalg.cholesky(identity + root[:, :, None] * gram * root[:, None, :])
        response = root * scores + optimum / root
        solved = torch.cholesky_solve(torch.stack([response, root], dim=-1), factor)
        new_b = (root * solved[..., 0]).sum(-1, keepdim=True) / (root * solved[..., 1]).sum(
            -1, keepdim=True
        )
        new_a = root * (solved[..., 0] - new_b * solved[..., 1])
        step = torch.ones_like(b)
        before = loss(a, b)
        for _ in range(30):
            worse = loss(a + step * (new_a - a), b + step * (new_b - b)) > before * (1 + 1e-12)
            if not worse.any():
                break
            step = torch.where(worse, step / 2, step)
        a, b = a + step * (new_a - a), b + step * (new_b - b)
    else:
        _warn_unconverged("probe", residual, settings.probe_tolerance, _PROBE_MAX_STEPS)
    return _finish(_apply(x.mT, a), positive, negative)


@one_thread()
def gradient(positive: Tensor, negative: Tensor, settings: MethodSettings) -> Tensor:
    """Return the direction that Adam finds to separate the classes most.

    Maximises Cohen's d of the projections with a shrunk within-class covariance,

        d(w) = w.g / sqrt(w' S w),   S = (1 - s) S_within + s mean(diag S_within) I,

    g being the gap of the class means and s `gradient_shrinkage`. With fewer prompts than
    dimensions some w has no within-class variance at all and an unbounded d; s > 0 prevents that.
    In the coordinates u = S^(1/2) w the objective is |g~| cos(u, g~), equally curved in every
    direction, and Adam (Kingma & Ba 2015) goes from a seeded random u to the optimum in a few
    hundred steps, where in raw coordinates it creeps along the flat directions and stops anywhere.
    The optimum is unique, S^-1 g (Fisher 1936; Friedman 1989), so the start does not matter.

    A layer stops when the rest of the gradient would turn w by less than `gradient_tolerance`
    radians: in these coordinates that is the angle left to the optimum, and a small learning rate
    cannot make it small. Layers still above it after `gradient_max_steps` are warned about.
    """
    if not 0 < settings.gradient_shrinkage <= 1:
        raise ValueError(f"gradient_shrinkage must be in (0, 1], got {settings.gradient_shrinkage}")
    p, n = _layers_first(positive, negative)
    p_mean, n_mean = p.mean(1, keepdim=True), n.mean(1, keepdim=True)
    gap = (p_mean - n_mean).squeeze(1)
    x = torch.cat([p - p_mean, n - n_mean], dim=1)
    prompts, dimensions = x.shape[1], settings.dimensions or x.shape[2]

    # Orthonormal coordinates in which S is diagonal: the principal axes of the within-class
    # scatter, and last the part of the gap that is orthogonal to all of them.
    scatter, axes = _principal(x)
    present = scatter > scatter[:, -1:] * prompts * torch.finfo(x.dtype).eps
    axes = torch.where(present[:, None, :], axes * scatter.abs().rsqrt()[:, None, :], 0.0)
    along = _apply(axes.mT, _apply(x, gap))
    rest = gap - _apply(x.mT, _apply(axes, along))
    rest_norm = rest.norm(dim=-1, keepdim=True)
    variance = torch.cat([scatter * present, torch.zeros_like(rest_norm)], -1) / (prompts - 2)
    shrinkage = settings.gradient_shrinkage
    isotropic = variance.sum(-1, keepdim=True) / dimensions
    scale = ((1 - shrinkage) * variance + shrinkage * isotropic).sqrt()
    target = unit(torch.cat([along, rest_norm], -1) / scale)

    start = np.random.default_rng(settings.seed).standard_normal(target.shape[-1])
    u = unit(torch.from_numpy(start).to(x.device)).expand_as(target)
    first, second = torch.zeros_like(u), torch.zeros_like(u)
    for step in range(1, settings.gradient_max_steps + 1):
        ascent = target - (u * target).sum(-1, keepdim=True) * u
        angle = (ascent / scale).norm(dim=-1) / (u / scale).norm(dim=-1)
        moving = angle >= settings.gradient_tolerance
        if not moving.any():
            break
        first = 0.9 * first + 0.1 * ascent
        second = 0.999 * second + 0.001 * ascent.square()
        mean = first / (1 - 0.9**step)
        deviation = (second / (1 - 0.999**step)).sqrt()
        ahead = unit(u + settings.gradient_learning_rate * mean / (deviation + 1e-8))
        u = torch.where(moving[:, None], ahead, u)
    else:
        _warn_unconverged(
            "gradient", angle, settings.gradient_tolerance, settings.gradient_max_steps
        )
    coordinates = u / scale
    w = _apply(x.mT, _apply(axes, coordinates[:, :-1])) + coordinates[:, -1:] * rest / (
        rest_norm.clamp_min(torch.finfo(x.dtype).tiny)
    )
    return _finish(w, positive, negative)


@one_thread()
def pca_diff(positive: Tensor, negative: Tensor, settings: MethodSettings) -> Tensor:
    """Return the first principal direction of the paired differences positive[i] - negative[i].

    It is the unit v of largest sum_i (v.d_i)^2 (PCA about the origin: Jolliffe 2002, section 14.2).
    The differences d_i are not centred, because their mean is what is looked for. Raises
    ValueError if the counts differ.
    """
    if len(positive) != len(negative):
        raise ValueError(
            "pca_diff pairs the prompts by order and needs equal counts, "
            f"got {len(positive)} positive and {len(negative)} negative"
        )
    p, n = _layers_first(positive, negative)
    differences = p - n
    _, axes = _principal(differences)
    return _finish(_apply(differences.mT, axes[..., -1]), positive, negative)


@one_thread()
def ica(positive: Tensor, negative: Tensor, settings: MethodSettings) -> Tensor:
    """Return the independent component of all prompts that separates the classes best.

    FastICA (Hyvarinen 1999: contrast log cosh, symmetric decorrelation) on the pooled, centred
    activations, whitened to their first `ica_components` principal axes. A component has two
    vectors: the filter, whose dot product with the activations gives the component's value, and
    the pattern, the covariance of the activations with that value, which is its column of the
    mixing matrix. The pattern is returned: it is what is added to the residual stream when the
    component rises by one, while the filter also leans away from correlated noise and, in
    dimensions of small variance, consists of little else (Haufe et al. 2014).

    Components come in no order. The one is chosen whose pattern, used as a direction like any
    other, has the training AUROC furthest from 0.5, ties going to the larger |Cohen's d|.

    The plain fixed point often cycles on activations, so a step goes 0.7 of the way to it (not
    0.5, where a half turn would make the mean singular). Of several seeded starts the one of
    largest contrast counts, among those that converged: the fixed point moves no filter by more
    than acos(1 - 1e-6), about 0.001 radians. Layers without one after `ica_max_iterations` are
    warned about. Converged does not mean unique: with few prompts the contrast has several nearly
    equal optima, and another seed, or another processor's rounding, can give another component.
    """
    p, n = _layers_first(positive, negative)
    x = torch.cat([p, n], dim=1)
    x = x - x.mean(1, keepdim=True)
    layers, prompts, hidden = x.shape
    count = min(settings.ica_components, prompts - 1, hidden)
    _, axes = _principal(x)
    white = axes[..., -count:] * prompts**0.5
    # An axis comes with either sign, by rounding alone; a start must not mean another one then.
    white = white * white.pow(3).sum(1, keepdim=True).sign()

    shape = (_ICA_STARTS, count, count)
    starts = torch.from_numpy(np.random.default_rng(settings.seed).standard_normal(shape))
    filters = _decorrelate(starts.to(x.device)).repeat(layers, 1, 1)
    repeated = white.repeat_interleave(_ICA_STARTS, dim=0)
    moved = torch.full((len(filters),), torch.inf, dtype=x.dtype, device=x.device)
    moving = torch.arange(len(filters), device=x.device)
    for _ in range(settings.ica_max_iterations):
        z, w = repeated[moving], filters[moving]
        slope = (z @ w.mT).tanh()
        curvature = (1 - slope.square()).mean(1)[..., None]
        fixed_point = _decorrelate(slope.mT @ z / prompts - curvature * w)
        overlap = (fixed_point * w).sum(-1, keepdim=True)
        filters[moving] = _decorrelate(0.3 * w + 0.7 * overlap.sign() * fixed_point)
        moved[moving] = 1 - overlap.abs().amin((1, 2))
        moving = moving[moved[moving] >= _ICA_TOLERANCE]
        if not len(moving):
            break

    values = (repeated @ filters.mT).view(layers, _ICA_STARTS, prompts, count)
    every = torch.arange(layers, device=x.device)
    moved = moved.view(layers, _ICA_STARTS)
    chosen = torch.where(moved < _ICA_TOLERANCE, _contrast(values), -moved).argmax(-1)
    moved = moved[every, chosen]
    if (moved >= _ICA_TOLERANCE).any():
        _warn_unconverged("ica", moved, _ICA_TOLERANCE, settings.ica_max_iterations)
    patterns = x.mT @ values[every, chosen]

    projections = (x @ patterns).transpose(0, 1).flatten(1)
    classes = projections[: p.shape[1]], projections[p.shape[1] :]
    separation = (auroc(*classes) - 0.5).abs().view(layers, count)
    ties = separation == separation.amax(-1, keepdim=True)
    effect = cohens_d(*classes).abs().view(layers, count)
    best = torch.where(ties, effect, -torch.inf).argmax(-1)
    return _finish(patterns[every, :, best], positive, negative)


@one_thread()
def random(positive: Tensor, negative: Tensor, settings: MethodSettings) -> Tensor:
    """Return directions drawn uniformly from the sphere, the null to hold the others against.

    They are signed by the training classes like every other direction, so their AUROC on these
    classes is above one half on average, and on held-out prompts as far as the draw has a share
    in the true difference. Layer l's draw depends on the seed and l only.
    """
    p, _ = _layers_first(positive, negative)
    draw = unit_vectors(p.shape[0], p.shape[2], settings.seed)
    return _finish(torch.from_numpy(draw).to(p.device), positive, negative)


Method = Callable[[Tensor, Tensor, MethodSettings], Tensor]
METHODS: dict[str, Method] = {
    "mean_diff": mean_diff,
    "probe": probe,
    "gradient": gradient,
    "pca_diff": pca_diff,
    "ica": ica,
    "random": random,
}


def unit(v: Tensor) -> Tensor:
    """Return `[..., hidden]` scaled to unit norm. Raises ValueError on a zero or non-finite one."""
    norm = v.norm(dim=-1, keepdim=True)
    lost = ~((norm > 0) & norm.isfinite()).squeeze(-1)
    if lost.any():
        raise ValueError(
            f"no direction in layer(s) {lost.nonzero().flatten().tolist()}: "
            "the classes have equal means there, or nothing varies within them; give the trait "
            "other prompts"
        )
    return v / norm


def orient(v: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return `v` `[layer, hidden]`, flipped in the layers where the negative class projects higher.

    What is compared is the mean projection of the two classes `[prompt, layer, hidden]`.
    """
    gap = positive.mean(0, dtype=torch.float64) - negative.mean(0, dtype=torch.float64)
    against = (gap * v).sum(-1, keepdim=True) < 0
    return torch.where(against, -v, v)


def _finish(v: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    return orient(unit(v), positive, negative).float()


def _layers_first(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Return both classes as float64 `[layer, prompt, hidden]`, checked."""
    for name, activations in (("positive", positive), ("negative", negative)):
        if activations.ndim != 3 or activations.shape[1:] != positive.shape[1:]:
            raise ValueError(
                "expected [prompt, layer, hidden] with equal layers and dimensions, "
                f"got {list(positive.shape)} positive and {list(negative.shape)} negative"
            )
        if len(activations) < 2:
            raise ValueError(f"a method needs 2 prompts a class, {name} has {len(activations)}")
        if not activations.isfinite().all():
            raise ValueError(f"{name} activations hold values that are not finite")
    same = (positive == positive[0]).all(0) & (negative == positive[0]).all(0)
    if same.all(-1).any():
        raise ValueError(
            f"no direction in layer(s) {same.all(-1).nonzero().flatten().tolist()}: "
            "all prompts have the same activations there; give the trait other prompts"
        )
    return positive.transpose(0, 1).double(), negative.transpose(0, 1).double()


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return the product of `[layer, m, n]` and `[layer, n]`."""
    return (matrix @ vector[..., None])[..., 0]


def _principal(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the principal components of `[layer, prompt, hidden]` about the origin.

    They are `[layer, k]`, the sums of squares in ascending order, and `[layer, prompt, k]`, the
    unit vectors of the prompts' scores; k is the smaller of prompts and hidden, which is also the
    side whose Gram matrix is decomposed.
    """
    if x.shape[1] <= x.shape[2]:
        return torch.linalg.eigh(x @ x.mT)
    squares, axes = torch.linalg.eigh(x.mT @ x)
    # Below this a square is rounding, and its square root would blow the scores up.
    smallest = squares[:, -1:] * torch.finfo(x.dtype).eps
    return squares, x @ axes / squares.clamp_min(smallest).sqrt()[:, None, :]


def _decorrelate(w: Tensor) -> Tensor:
    """Return the orthogonal matrix nearest to each of `[..., k, k]`: (W W')^(-1/2) W."""
    values, vectors = torch.linalg.eigh(w @ w.mT)
    smallest = torch.finfo(w.dtype).tiny
    return (vectors * values.clamp_min(smallest).rsqrt()[..., None, :]) @ vectors.mT @ w


def _contrast(values: Tensor) -> Tensor:
    """Return how far `[..., prompt, component]`, of unit variance, is from Gaussian.

    Sum over the components of (E log cosh s - E log cosh gauss)^2, which FastICA's fixed points
    are extrema of (Hyvarinen 1999).
    """
    gaussian = 0.37456720749
    return (values.cosh().log().mean(-2) - gaussian).square().sum(-1)


def _warn_unconverged(method: str, error: Tensor, tolerance: float, steps: int) -> None:
    """Warn once for all layers, `error` being `[layer]`."""
    late = int((error >= tolerance).sum())
    worst = int(error.argmax())
    warnings.warn(
        f"{method}: {late} of {len(error)} layers not converged after {steps} steps, the worst is "
        f"layer {worst} with {error[worst]:.1e} (tolerance {tolerance:.1e}); "
        f"see vectors.{method} in params.yaml",
        RuntimeWarning,
        stacklevel=3,
    )
