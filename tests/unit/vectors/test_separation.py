import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor

from traitdrift.vectors.separation import (
    auroc,
    balanced_accuracy,
    cohens_d,
    cross_validate,
    mean_norm,
    polarity,
    scalar_projections,
    threshold,
)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def test_project_takes_each_layer_with_its_own_vector():
    activations, vectors = gaussian(7, 3, 16), gaussian(3, 16, seed=1)
    projections = scalar_projections(activations, vectors)
    assert projections.dtype == torch.float32
    for layer in range(3):
        torch.testing.assert_close(projections[:, layer], activations[:, layer] @ vectors[layer])


def test_project_does_not_depend_on_the_batch_despite_a_sink_dimension():
    activations = gaussian(50, 4, 576)
    activations[:, :, 3] += 1e4
    vectors = torch.nn.functional.normalize(gaussian(4, 576, seed=1), dim=-1)
    together = scalar_projections(activations, vectors)
    alone = torch.cat([scalar_projections(activations[i : i + 1], vectors) for i in range(50)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=0)


def test_project_converts_bfloat16_and_refuses_other_layers():
    activations = gaussian(5, 2, 8).bfloat16()
    vectors = gaussian(2, 8, seed=1)
    assert torch.equal(
        scalar_projections(activations, vectors), scalar_projections(activations.float(), vectors)
    )
    with pytest.raises(ValueError, match="expected activations"):
        scalar_projections(activations, vectors[:1])


def test_auroc_is_that_of_sklearn_with_ties_counted_half():
    # Rounding to one digit makes many ties, within and between the classes.
    positive = (gaussian(40, 6) + torch.linspace(-1, 1, 6)).round(decimals=1)
    negative = gaussian(25, 6, seed=1).round(decimals=1)
    labels = np.r_[np.ones(40), np.zeros(25)]
    expected = [roc_auc_score(labels, np.r_[positive[:, k], negative[:, k]]) for k in range(6)]
    np.testing.assert_allclose(auroc(positive, negative), expected, rtol=1e-12)
    assert auroc(torch.ones(4, 1), torch.ones(3, 1)).item() == 0.5


def test_cohens_d_by_hand():
    positive = torch.tensor([[3.0, 2.0], [5.0, 2.0]])
    negative = torch.tensor([[0.0, 2.0], [1.0, 2.0], [2.0, 2.0]])
    # Sums of squares 2 and 2 over 3 degrees of freedom; no gap and no spread in column 1.
    expected = torch.tensor([3 / (4 / 3) ** 0.5, 0.0], dtype=torch.float64)
    torch.testing.assert_close(cohens_d(positive, negative), expected)
    assert cohens_d(torch.ones(2, 1), torch.zeros(2, 1)).item() == float("inf")
    with pytest.raises(ValueError, match="at least 3"):
        cohens_d(torch.ones(1, 1), torch.zeros(1, 1))


def test_threshold_and_balanced_accuracy():
    positive, negative = gaussian(30, 4) + 1, gaussian(50, 4, seed=1)
    limit = threshold(positive, negative)
    torch.testing.assert_close(limit, (positive.double().mean(0) + negative.double().mean(0)) / 2)
    labels = np.r_[np.ones(30), np.zeros(50)]
    expected = [
        balanced_accuracy_score(labels, torch.cat([positive, negative])[:, k] > limit[k])
        for k in range(4)
    ]
    np.testing.assert_allclose(balanced_accuracy(positive, negative, limit), expected)


def test_polarity_is_the_sign_of_the_mean_gap():
    positive = torch.tensor([[1.0, 0.0, 2.0]])
    negative = torch.tensor([[0.0, 1.0, 2.0]])
    assert polarity(positive, negative).tolist() == [1, -1, 0]


@pytest.mark.parametrize("figure", [auroc, cohens_d, threshold, polarity])
def test_figures_refuse_bad_projections(figure):
    good = gaussian(5, 3)
    with pytest.raises(ValueError, match="not finite"):
        figure(good, good * float("nan"))
    with pytest.raises(ValueError, match=r"\[n, k\]"):
        figure(good, good[:, :2])
    with pytest.raises(ValueError, match="without prompts"):
        figure(good, good[:0])


def difference_of_means(positive: Tensor, negative: Tensor, settings: list) -> Tensor:
    """A method that also records the prompts it was given in `settings`."""
    settings.append((positive[:, 0, 0].tolist(), negative[:, 0, 0].tolist()))
    return torch.nn.functional.normalize(positive.mean(0) - negative.mean(0), dim=-1)


def test_cross_validation_holds_every_pair_out_once_and_keeps_the_order():
    positive, negative = gaussian(23, 2, 4), gaussian(23, 2, 4, seed=1)
    positive[:, 0, 0] = torch.arange(23)
    negative[:, 0, 0] = torch.arange(23)
    seen: list = []
    cross_validate(positive, negative, difference_of_means, seen, folds=5, seed=0)
    held_out = [sorted(set(range(23)) - set(p)) for p, _ in seen]
    assert sorted(i for fold in held_out for i in fold) == list(range(23))
    assert {len(fold) for fold in held_out} == {4, 5}
    assert all(p == n == sorted(p) for p, n in seen)


def test_cross_validation_divides_unequal_classes_apart():
    positive, negative = gaussian(20, 1, 4), gaussian(11, 1, 4, seed=1)
    seen: list = []
    cross_validate(positive, negative, difference_of_means, seen, folds=5, seed=0)
    assert {len(p) for p, _ in seen} == {16}
    assert {len(n) for _, n in seen} == {8, 9}


def test_cross_validation_is_blind_to_what_a_method_memorises():
    """With more dimensions than prompts the training prompts of pure noise separate perfectly."""
    positive, negative = gaussian(60, 3, 400), gaussian(60, 3, 400, seed=1)
    vectors = difference_of_means(positive, negative, [])
    assert (
        auroc(scalar_projections(positive, vectors), scalar_projections(negative, vectors)).min()
        > 0.95
    )
    figures = cross_validate(positive, negative, difference_of_means, [], folds=5, seed=0)
    assert (figures["auroc"] - 0.5).abs().max() < 0.2
    assert figures["cohens_d"].abs().max() < 0.6


def test_cross_validation_averages_over_folds_and_repeats():
    positive, negative = gaussian(40, 3, 16), gaussian(40, 3, 16, seed=1)
    positive[:, 1:, 0] += torch.tensor([3.0, 6.0])
    first = cross_validate(positive, negative, difference_of_means, [], folds=5, seed=3)
    again = cross_validate(positive, negative, difference_of_means, [], folds=5, seed=3)
    assert set(first) == {"auroc", "cohens_d"}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["auroc"][1:].min() > 0.9
    assert (first["cohens_d"].diff() > 1).all()


def test_cross_validation_refuses_too_few_prompts():
    with pytest.raises(ValueError, match="at least 10 prompts a class, the smaller has 9"):
        cross_validate(gaussian(20, 1, 4), gaussian(9, 1, 4), difference_of_means, [], 5, 0)
    with pytest.raises(ValueError, match="at least 2 folds"):
        cross_validate(gaussian(20, 1, 4), gaussian(20, 1, 4), difference_of_means, [], 1, 0)


def test_the_mean_norm_is_that_of_each_layer():
    streams = torch.tensor([[[3.0, 4.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]]])
    assert mean_norm(streams).tolist() == [3.0, 1.0]
