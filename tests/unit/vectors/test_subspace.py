"""In the coordinates of their prompts the methods find what they find in the stream itself."""

from __future__ import annotations

import pytest
import torch
from test_methods import cosine, realistic, same_bytes

from traitdrift.core.config import section
from traitdrift.vectors import separation
from traitdrift.vectors.candidates import candidates, projections
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.null_settings import Nulls
from traitdrift.vectors.settings import VectorSettings
from traitdrift.vectors.shuffles import permuted_vectors
from traitdrift.vectors.subspace import span

GIVEN = section(VectorSettings, "vectors")
# 80 prompts give FastICA's contrast several optima in 8 dimensions, and rounding may choose;
# `gradient` as near to its optimum as it gets, for it may stop on any side of it.
SETTINGS = GIVEN.model_copy(
    update={
        "ica": GIVEN.ica.model_copy(update={"components": 4}),
        "gradient": GIVEN.gradient.model_copy(update={"tolerance": 1e-5}),
    }
)
KNOBS = MethodSettings.of(SETTINGS)


@pytest.mark.parametrize(("prompts", "hidden"), [(40, 256), (60, 32)])
def test_candidates_are_those_of_the_plain_definition(prompts: int, hidden: int):
    positive, negative = realistic(prompts, hidden=hidden)
    found = candidates(positive, negative, SETTINGS)
    assert list(found) == list(METHODS)
    for name, (vectors, on_folds) in found.items():
        plain = METHODS[name](positive, negative, KNOBS)
        assert vectors.dtype == torch.float32 and (1 - cosine(vectors, plain)).max() < 1e-6, name
        expected = separation.cross_validate(
            positive, negative, METHODS[name], KNOBS, SETTINGS.folds, SETTINGS.seed
        )
        for figure, values in on_folds.items():
            torch.testing.assert_close(values, expected[figure], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mean_diff", "probe", "gradient", "pca_diff", "random"])
def test_shuffles_are_those_of_the_plain_definition(name: str):
    positive, negative = realistic()
    values = torch.cat([positive, negative])
    made = permuted_vectors(
        values, len(positive), METHODS[name], KNOBS, Nulls.model_construct(count=5, seed=3)
    )
    draw = torch.Generator().manual_seed(3)
    for null in made:
        shuffled = values[torch.randperm(len(values), generator=draw)]
        plain = METHODS[name](shuffled[: len(positive)], shuffled[len(positive) :], KNOBS)
        assert (1 - cosine(null, plain)).max() < 1e-6


@pytest.mark.parametrize("hidden", [16, 256])
def test_the_basis_is_orthonormal_and_gives_the_prompts_back(hidden: int):
    values = torch.cat(realistic(hidden=hidden))
    space = span(values)
    k = min(len(values), hidden)
    assert space.coordinates.shape == (len(values), 3, k)
    back = torch.einsum("plk,lkh->plh", space.coordinates, space.basis) + values[0].double()
    torch.testing.assert_close(back, values.double(), rtol=0, atol=1e-9)
    eye = torch.eye(k, dtype=torch.float64).expand(3, k, k)
    torch.testing.assert_close(space.basis @ space.basis.mT, eye)


def test_projections_are_those_on_each_vector():
    values = torch.cat(realistic())
    vectors = torch.stack([METHODS[name](*realistic(), KNOBS) for name in ("mean_diff", "probe")])
    for scores, method in zip(projections(values, vectors), vectors, strict=True):
        torch.testing.assert_close(scores, separation.scalar_projections(values, method))


def test_the_number_of_threads_does_not_change_a_byte():
    positive, negative = realistic()
    values, threads = torch.cat([positive, negative]), torch.get_num_threads()
    vectors, nulls = [], []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found = candidates(positive, negative, SETTINGS)
            vectors.append(torch.stack([v for v, _ in found.values()]))
            nulls.append(
                permuted_vectors(
                    values, 40, METHODS["probe"], KNOBS, Nulls.model_construct(count=20, seed=0)
                )
            )
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert same_bytes(*vectors) and same_bytes(*nulls)


def test_refuses_bad_activations_and_names_the_layer():
    positive, negative = realistic()
    broken, constant = positive.clone(), positive.clone()
    broken[1, 2, 3] = float("nan")
    with pytest.raises(ValueError, match=r"layer\(s\) \[2\]: activations hold values .* finite"):
        candidates(broken, negative, SETTINGS)
    constant[:, 1] = 0.1
    with pytest.raises(ValueError, match=r"layer\(s\) \[1\]: all prompts have the same"):
        candidates(constant, constant, SETTINGS)
