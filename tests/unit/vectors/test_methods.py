from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from traitdrift.vectors.methods import METHODS, MethodSettings, gradient, ica, orient, probe, unit
from traitdrift.vectors.separation import auroc, polarity, scalar_projections

pytestmark = pytest.mark.filterwarnings("error")

SETTINGS = MethodSettings()
# 80 prompts give FastICA's contrast several optima in 8 dimensions, and rounding may choose.
STABLE = replace(SETTINGS, ica_components=4)
FITTED = [name for name in METHODS if name != "random"]


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@cache
def planted(
    prompts: int = 200, layers: int = 4, hidden: int = 64, strength: float = 6.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return both classes in isotropic noise of deviation 1, and the planted unit directions.

    The class means lie `strength` apart. A mean over `prompts` has a noise of deviation
    1 / sqrt(prompts) in each dimension, so the best that mean_diff can expect is a cosine of
    strength / sqrt(strength^2 + 2 hidden / prompts) = 0.991. The fitted covariances of the other
    methods cost them a little more, all the less the more prompts there are.
    """
    directions = unit(gaussian(layers, hidden, seed=1))
    positive = gaussian(prompts, layers, hidden, seed=2) + strength * directions
    return positive, gaussian(prompts, layers, hidden, seed=3), directions


@cache
def realistic(prompts: int = 40, layers: int = 3, hidden: int = 256) -> tuple[Tensor, Tensor]:
    """Return fewer prompts than dimensions, with what a residual stream has.

    Variances fall as a power law over rotated axes, both classes share a large offset, and one
    sink dimension is larger than all the others and varies most.
    """
    axes = torch.linalg.qr(gaussian(hidden, hidden, seed=1)).Q
    spread = torch.arange(1, hidden + 1).float().pow(-0.7)
    offset = 20 * gaussian(layers, hidden, seed=2)
    offset[:, 7] = 2000
    gap = gaussian(layers, hidden, seed=3) * 0.04
    classes = []
    for seed, shift in ((4, gap), (5, -gap)):
        x = (gaussian(prompts, layers, hidden, seed=seed) * spread) @ axes
        x[:, :, 7] *= 20
        classes.append(x + offset + shift)
    return classes[0], classes[1]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1)


def same_bytes(a: Tensor, b: Tensor) -> bool:
    return a.numpy().tobytes() == b.numpy().tobytes()


def test_the_six_methods_in_order():
    assert list(METHODS) == ["mean_diff", "probe", "gradient", "pca_diff", "ica", "random"]


@pytest.mark.parametrize("name", FITTED)
def test_recovers_a_planted_direction_with_its_sign(name):
    positive, negative, directions = planted()
    assert cosine(METHODS[name](positive, negative, SETTINGS), directions).min() > 0.95


def test_random_does_not_recover_it():
    positive, negative, directions = planted()
    # A random cosine has deviation 1 / sqrt(64).
    assert cosine(METHODS["random"](positive, negative, SETTINGS), directions).abs().max() < 0.4


@pytest.mark.parametrize("name", METHODS)
def test_unit_norm_float32_and_positive_class_higher(name):
    positive, negative = realistic()
    vectors = METHODS[name](positive, negative, SETTINGS)
    assert vectors.dtype == torch.float32 and vectors.shape == positive.shape[1:]
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))
    assert (
        polarity(scalar_projections(positive, vectors), scalar_projections(negative, vectors)) == 1
    ).all()


@pytest.mark.parametrize("name", METHODS)
def test_swapping_the_classes_flips_the_sign(name):
    positive, negative = realistic()
    forth = METHODS[name](positive, negative, STABLE)
    back = METHODS[name](negative, positive, STABLE)
    assert cosine(forth, back).max() < -0.999


@pytest.mark.parametrize("name", ["mean_diff", "probe", "gradient"])
def test_separates_new_prompts_of_realistic_activations(name):
    positive, negative = realistic(prompts=120)
    vectors = METHODS[name](positive[:60], negative[:60], SETTINGS)
    held_out = auroc(
        scalar_projections(positive[60:], vectors), scalar_projections(negative[60:], vectors)
    )
    assert held_out.min() > (0.6 if name == "mean_diff" else 0.8)


@pytest.mark.parametrize("name", METHODS)
def test_a_common_offset_changes_nothing(name):
    positive, negative, _ = planted(prompts=60)
    offset = 10 * gaussian(4, 64, seed=9)
    offset[:, 5] = 2000
    near = METHODS[name](positive, negative, STABLE)
    far = METHODS[name](positive + offset, negative + offset, STABLE)
    assert cosine(near, far).min() > 0.9999


@pytest.mark.parametrize("name", METHODS)
def test_scale_of_the_activations_changes_nothing(name):
    positive, negative = realistic()
    small = METHODS[name](positive, negative, STABLE)
    large = METHODS[name](positive * 1024, negative * 1024, STABLE)
    assert cosine(small, large).min() > 0.9999


@pytest.mark.parametrize("name", FITTED)
def test_a_layer_alone_equals_the_layer_in_the_batch(name):
    positive, negative = realistic()
    together = METHODS[name](positive, negative, STABLE)[2:]
    alone = METHODS[name](positive[:, 2:], negative[:, 2:], STABLE)
    assert cosine(together, alone).min() > 0.9999


def test_random_layers_differ_and_do_not_depend_on_later_layers():
    positive, negative = realistic()
    vectors = METHODS["random"](positive, negative, SETTINGS)
    fewer = METHODS["random"](positive[:, :2], negative[:, :2], SETTINGS)
    assert same_bytes(vectors[:2], fewer)
    assert cosine(vectors[0], vectors[1]).abs() < 0.4
    other = METHODS["random"](positive, negative, replace(SETTINGS, seed=1))
    assert cosine(vectors, other).abs().max() < 0.4


@pytest.mark.parametrize("name", METHODS)
def test_a_rerun_gives_the_same_bytes(name):
    positive, negative = realistic()
    first = METHODS[name](positive, negative, SETTINGS)
    assert same_bytes(first, METHODS[name](positive, negative, SETTINGS))


@pytest.mark.parametrize("name", METHODS)
def test_the_number_of_threads_does_not_change_a_byte(name):
    positive, negative = realistic()
    threads, vectors = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            vectors.append(METHODS[name](positive, negative, SETTINGS))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert same_bytes(*vectors)


@pytest.mark.parametrize("name", METHODS)
def test_bfloat16_is_converted_without_loss(name):
    positive, negative = (x.bfloat16() for x in planted(prompts=40)[:2])
    converted = METHODS[name](positive.float(), negative.float(), SETTINGS)
    assert same_bytes(METHODS[name](positive, negative, SETTINGS), converted)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "pca_diff"])
def test_unequal_counts_are_fine(name):
    positive, negative, directions = planted()
    vectors = METHODS[name](positive, negative[:150], SETTINGS)
    assert name == "random" or cosine(vectors, directions).min() > 0.95


@pytest.mark.parametrize("name", METHODS)
def test_refuses_bad_activations(name):
    positive, negative, _ = planted(prompts=6)
    broken = positive.clone()
    broken[1, 2, 3] = float("nan")
    with pytest.raises(ValueError, match="positive activations hold values that are not finite"):
        METHODS[name](broken, negative, SETTINGS)
    with pytest.raises(ValueError, match="2 prompts a class, positive has 1"):
        METHODS[name](positive[:1], negative[:1], SETTINGS)
    with pytest.raises(ValueError, match="equal layers and dimensions"):
        METHODS[name](positive, negative[:, :2], SETTINGS)
    with pytest.raises(ValueError, match=r"layer\(s\) \[1\]: all prompts have the same"):
        constant = positive.clone()
        constant[:, 1] = 0.1
        METHODS[name](constant, constant, SETTINGS)


@pytest.mark.parametrize(("prompts", "hidden"), [(40, 256), (150, 32)])
@pytest.mark.parametrize("c", [0.001, 0.1, 100.0])
def test_probe_is_the_logistic_regression_of_sklearn(prompts, hidden, c):
    positive, negative = realistic(prompts, layers=2, hidden=hidden)
    vectors = probe(positive, negative[:-7], replace(SETTINGS, probe_c=c))
    labels = np.r_[np.ones(prompts), np.zeros(prompts - 7)]
    for layer in range(2):
        x = torch.cat([positive[:, layer], negative[:-7, layer]]).double().numpy()
        x -= x.mean(0)
        x /= np.sqrt((x**2).mean())
        reference = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-8).fit(x, labels)
        assert cosine(vectors[layer], torch.from_numpy(reference.coef_[0])) > 0.9999


def test_probe_converges_on_far_separated_classes_with_hardly_any_penalty():
    positive, negative, directions = planted(prompts=200, strength=50.0)
    vectors = probe(positive, negative, replace(SETTINGS, probe_c=1e6))
    assert vectors.isfinite().all() and cosine(vectors, directions).min() > 0.9


@pytest.mark.parametrize(("prompts", "hidden"), [(40, 256), (150, 32)])
@pytest.mark.parametrize("shrinkage", [0.01, 0.5, 1.0])
def test_gradient_reaches_the_closed_form_optimum(prompts, hidden, shrinkage):
    positive, negative = realistic(prompts, hidden=hidden)
    vectors = gradient(positive, negative, replace(SETTINGS, gradient_shrinkage=shrinkage))
    for layer in range(3):
        p, n = (x[:, layer].double() for x in (positive, negative))
        within = ((p - p.mean(0)).T @ (p - p.mean(0)) + (n - n.mean(0)).T @ (n - n.mean(0))) / (
            2 * prompts - 2
        )
        isotropic = torch.eye(hidden).double() * within.diagonal().mean()
        shrunk = (1 - shrinkage) * within + shrinkage * isotropic
        optimum = torch.linalg.solve(shrunk, p.mean(0) - n.mean(0))
        assert cosine(vectors[layer], optimum) > 0.99999


def test_gradient_does_not_depend_on_the_seed():
    positive, negative = realistic()
    first = gradient(positive, negative, SETTINGS)
    second = gradient(positive, negative, replace(SETTINGS, seed=1))
    assert not same_bytes(first, second)
    assert cosine(first, second).min() > 0.9999


def test_gradient_says_so_when_it_runs_out_of_steps():
    positive, negative = realistic()
    with pytest.warns(RuntimeWarning, match=r"gradient: 3 of 3 layers .* the worst is layer \d"):
        gradient(positive, negative, replace(SETTINGS, gradient_max_steps=5))
    with pytest.raises(ValueError, match="gradient_shrinkage"):
        gradient(positive, negative, replace(SETTINGS, gradient_shrinkage=0.0))


def test_pca_diff_finds_a_constant_difference_and_refuses_unpaired_classes():
    """Centring the differences would remove the only thing they have in common."""
    common = gaussian(200, 4, 64, seed=4) * 10
    positive, negative, directions = planted(prompts=200)
    vectors = METHODS["pca_diff"](positive + common, negative + common, SETTINGS)
    assert cosine(vectors, directions).min() > 0.95
    with pytest.raises(ValueError, match="200 positive and 199 negative"):
        METHODS["pca_diff"](positive, negative[1:], SETTINGS)


def test_ica_returns_the_pattern_of_the_component_not_its_filter():
    """A second source oblique to the first turns the filter away from it, not the pattern."""
    trait, other = unit(gaussian(2, 64, seed=1))
    other = unit(trait + other)
    classes = []
    for seed, shift in ((2, 2.5), (3, -2.5)):
        source = (np.random.default_rng(seed).random((300, 1, 1)) - 0.5) * 20
        noise = gaussian(300, 1, 64, seed=seed) * 0.5
        classes.append(noise + torch.from_numpy(source).float() * other + shift * trait)
    vectors = ica(*classes, SETTINGS)
    oblique = unit(trait - (trait @ other) * other)
    assert cosine(vectors, trait).item() > 0.95 > 0.85 > cosine(vectors, oblique).item()


def test_ica_says_so_when_it_runs_out_of_iterations():
    positive, negative = realistic()
    with pytest.warns(RuntimeWarning, match=r"ica: 3 of 3 layers .* the worst is layer \d"):
        ica(positive, negative, replace(SETTINGS, ica_max_iterations=1))


def test_orient_flips_only_the_layers_that_point_to_the_negative_class():
    positive, negative, directions = planted()
    turned = directions * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    assert torch.equal(orient(turned, positive, negative), directions)


def test_unit_refuses_a_zero_vector():
    with pytest.raises(ValueError, match=r"layer\(s\) \[1\]"):
        unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
