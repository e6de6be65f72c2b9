"""The statistical layer: right arithmetic, honest error rates, enough power."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import tiny
import torch
from scipy import stats

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import teacher_force
from traitdrift.comparison.decomposition import decompose
from traitdrift.comparison.discrimination import auroc_interval
from traitdrift.comparison.length import length_control, r_squared
from traitdrift.comparison.settings import Compare
from traitdrift.comparison.shift import paired_t_p, shift_by_layer
from traitdrift.comparison.study import study_table
from traitdrift.stats.multiple_testing import corrected, moved_table, ranked
from traitdrift.stats.resampling import holm, least_p, place_among, sign_flip_p
from traitdrift.vectors.choice import choices

SETTINGS = Compare(
    study_method="probe",
    study_position="prompt_mean",
    resamples=500,
    permutations=2000,
    confidence=0.95,
    seed=0,
)


def claims(p: np.ndarray, alpha: float = 0.05) -> float:
    """The rate of `this trait moved` at level alpha."""
    return float((p <= alpha).mean())


# --- arithmetic ---------------------------------------------------------------------------


def test_sign_flips_are_scipys_exactly_where_all_are_walked_through():
    values = np.random.default_rng(0).normal(0.4, 1, (9, 3))
    expected = [
        stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        for column in values.T
    ]
    assert sign_flip_p(values, 1000, 0) == pytest.approx(expected)


def test_sign_flips_are_scipys_within_sampling_where_they_are_drawn():
    """20,000 draws each: standard error of a difference at most 0.005."""
    values = np.random.default_rng(1).normal(0.15, 1, (60, 3))
    expected = [
        stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0
        ).pvalue
        for column in values.T
    ]
    assert sign_flip_p(values, 20_000, 0) == pytest.approx(expected, abs=0.02)


def test_no_difference_at_all_is_no_evidence():
    assert sign_flip_p(np.zeros((50, 2)), 1000, 0).tolist() == [1, 1]
    assert sign_flip_p(np.zeros((5, 2)), 1000, 0).tolist() == [1, 1]


def test_holm_by_hand():
    """Four tests: 0.005 x 4, 0.01 x 3, then 0.03 x 2, which 0.04 x 1 may not undercut."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]


def test_a_place_among_nulls_by_hand():
    z, p = place_among(np.array([2.0, 0.5]), np.array([[1.0, 1], [-1, -1], [3, 0], [-3, 0]]))
    assert p.tolist() == [3 / 5, 3 / 5]
    assert z == pytest.approx([2 / np.std([1, -1, 3, -3], ddof=1), 0.5 / np.sqrt(2 / 3)])


def test_what_length_explains_is_taken_out():
    """Scores made of length alone have no gap left; a planted gap of 5 stays."""
    generator = np.random.default_rng(0)
    tokens = {"positive": generator.integers(8, 20, 60), "negative": generator.integers(5, 12, 60)}
    for planted in (0.0, 5.0):
        scores = {
            "positive": 3.0 * tokens["positive"] + planted,
            "negative": 3.0 * tokens["negative"],
        }
        shifts = {label: 0.5 * (t - 10) + 1.0 for label, t in tokens.items()}
        found = length_control(scores, shifts, tokens)
        assert found["gap"] == pytest.approx(planted, abs=1e-9)
        # Both classes shift alike once length is held at the common mean.
        assert found["positive_shift"] == pytest.approx(found["negative_shift"])
    assert found["r_score"] < -0.9


def test_r_squared_is_scipys():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 30))
    assert r_squared(y, x) == pytest.approx(stats.linregress(x, y).rvalue ** 2)


def test_two_by_two_splits_a_difference_without_rest():
    """Text adds 3, the model 1, both together another 2: halved between them."""
    noise = np.random.default_rng(0).normal(0, 1, 40)
    cells = {
        ("base", "base"): noise,
        ("variant", "base"): noise + 3,
        ("base", "variant"): noise + 1,
        ("variant", "variant"): noise + 6,
    }
    found = {row["effect"]: row for row in decompose(cells, SETTINGS)}
    assert {name: row["value"] for name, row in found.items()} == pytest.approx(
        {"total": 6, "text": 4, "model": 2, "interaction": 2}
    )
    assert found["text"]["share"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["total"]["low"] == pytest.approx(6)  # paired by question: the noise is gone


def test_aurocs_interval_covers_the_truth_and_tells_ties_half():
    """Normal values 1 apart: the true AUROC is Phi(1/sqrt 2) = 0.760."""
    truth, hits = stats.norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        before = torch.randn(60, 1, generator=generator)
        after = torch.randn(60, 1, generator=generator) + 1
        low, high = auroc_interval(after, before, SETTINGS)
        hits += low[0] <= truth <= high[0]
    assert 88 <= hits <= 100
    same = torch.ones(10, 1)
    low, high = auroc_interval(same, same, SETTINGS)
    assert (low[0], high[0]) == (0.5, 0.5)


def test_the_study_in_our_arithmetic(shared):
    """Expected values: the README beside the scores."""
    scores = pandas.read_csv(shared / "study/scores.csv")
    shipped = pandas.read_csv("data/raw/study/scores.csv")
    pandas.testing.assert_frame_equal(scores, shipped)
    table = study_table(scores, SETTINGS)
    assert table["gap"]["base"]["value"] == pytest.approx(42.088, abs=1e-3)
    test = table["gap"]["test"]
    assert test["cohens_d"] == pytest.approx(1.51, abs=0.005)
    assert test["welch_t"] == pytest.approx(2.39, abs=0.005)
    assert test["welch_p"] == pytest.approx(0.048, abs=5e-4)
    assert test["difference_of_shifts_welch_p"] == pytest.approx(0.55, abs=0.005)
    assert table["auroc"]["base"] == pytest.approx(0.88)
    for label, mean, p in (("positive", -1.022, 0.058), ("negative", -0.666, 0.18)):
        assert table[label]["shift"]["value"] == pytest.approx(mean, abs=1e-3)
        assert table[label]["test"]["t_p"] == pytest.approx(p, abs=0.005)
        assert table[label]["test"]["p"] > 0.05  # 32 sign patterns: never below 1/16
    for name, share in (("r2_length", 0.65), ("r2_class", 0.42), ("r2_both", 0.94)):
        assert table["length"][name] == pytest.approx(share, abs=0.005)


def test_the_shift_of_every_layer_is_that_of_its_projections():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(30, 2, 16, generator=generator)
    variant = base + 0.3 * torch.randn(30, 2, 16, generator=generator) + 0.2
    vector = torch.nn.functional.normalize(torch.randn(2, 16, generator=generator), dim=-1)
    nulls = torch.nn.functional.normalize(torch.randn(50, 1, 16, generator=generator), dim=-1)
    rows = shift_by_layer(base, variant, vector, {"random": nulls}, SETTINGS, seed=0)
    for layer, row in enumerate(rows):
        differences = ((variant - base)[:, layer].double() @ vector[layer].double()).numpy()
        assert row["value"] == pytest.approx(differences.mean(), rel=1e-4)
        assert row["t_p"] == pytest.approx(paired_t_p(differences[:, None])[0], rel=1e-3)
        assert row["low"] < row["value"] < row["high"]
        along = (nulls[:, 0].double() @ (variant - base).double().mean(0)[layer]).numpy()
        beyond = (np.abs(along) >= abs(differences.mean())).sum()
        assert row["random_p"] == pytest.approx((1 + beyond) / 51, rel=1e-5)
        inside = ((row["random_low"] <= along) & (along <= row["random_high"])).mean()
        assert 0.9 <= inside <= 0.96
        assert row["p_least"] == pytest.approx(1 / 2001, rel=1e-5)


def test_a_trait_without_the_studys_position_has_no_studys_choice():
    chosen = {"position": "response_mean", "method": "probe", "layer": 1}
    assert list(choices(chosen, "prompt_mean", "probe", {"response_mean"}, 4)) == ["chosen"]
    found = choices(chosen, "prompt_mean", "probe", {"response_mean", "prompt_mean"}, 4)
    assert (found["study"].layer, found["study"].layers) == (2, [2])
    assert found["chosen"].layers == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"compare\.study_position: 'prompt_mean' is not among"):
        choices(chosen, "prompt_mean", "probe", {"response_mean", "prompt_last"}, 4)


# --- error rates --------------------------------------------------------------------------


def test_shuffled_data_move_no_trait_more_often_than_alpha():
    """200 data sets of a tiny model's activations, base or variant by the toss of a coin for
    every prompt: claims at 5 % lie within 2.5 % and 7.5 %."""
    before, after = read_by_two_models()
    generator = torch.Generator().manual_seed(0)
    found = []
    for seed in range(200):
        swapped = torch.rand(len(before), 1, 1, generator=generator) < 0.5
        vector = torch.randn(before.shape[1:], generator=generator)
        vector = torch.nn.functional.normalize(vector, dim=-1)
        base, variant = (
            torch.where(swapped, *sides) for sides in ((after, before), (before, after))
        )
        settings = SETTINGS.model_copy(update={"seed": seed, "resamples": 100})
        rows = shift_by_layer(base, variant, vector, {}, settings, seed)
        found.append([row["p"] for row in rows])
    assert 0.025 <= claims(np.array(found)) <= 0.075
    # And hardly ever in any layer once all are corrected for.
    assert np.mean([claims(holm(np.array(row))) > 0 for row in found]) <= 0.075


def test_the_same_model_in_other_batches_moves_no_trait_more_often_than_alpha():
    """Base against itself, one prompt a pass or many with padding: 800 tests of rounding noise."""
    tokenizer, model = tiny.tokenizer(), tiny.llama(layers=4, hidden=64)
    found = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        conversations = [asked(tokenizer, draw, size) for size in draw.integers(4, 30, 60)]
        alone, padded = (
            capture(model, conversations, tokenizer.pad_token_id, budget)["prompt_mean"].double()
            for budget in (1, 700)
        )
        assert not torch.equal(alone, padded)
        generator = torch.Generator().manual_seed(seed)
        vectors = torch.randn(5, 64, generator=generator).double()
        differences = torch.einsum("nlh,kh->nlk", padded - alone, vectors).flatten(1)
        found.append(sign_flip_p(differences.numpy(), 2000, seed))
    assert 0.025 <= claims(np.array(found)) <= 0.075


def asked(tokenizer, draw: np.random.Generator, size: int):
    """The reading of a random prompt."""
    prompt = "".join(draw.choice(list("abcdefgh "), size))
    return teacher_force(tokenizer, [{"role": "user", "content": prompt}], [], ["prompt_mean"])


def read_by_two_models() -> tuple[torch.Tensor, torch.Tensor]:
    """Activations `[prompt, layer, hidden]` of two tiny models on the same 60 prompts."""
    tokenizer, draw = tiny.tokenizer(), np.random.default_rng(0)
    conversations = [asked(tokenizer, draw, size) for size in draw.integers(4, 30, 60)]
    return tuple(
        capture(tiny.llama(seed=seed), conversations, tokenizer.pad_token_id, 500)["prompt_mean"]
        for seed in (0, 1)
    )


def test_a_shift_of_three_tenths_of_a_deviation_is_seen_on_a_hundred_prompts():
    generator = np.random.default_rng(0)
    differences = generator.normal(0.3, 1, (100, 500))
    power = claims(sign_flip_p(differences, 2000, 0))
    assert power >= 0.8
    assert claims(sign_flip_p(differences - 0.3, 2000, 0)) <= 0.075


def test_the_whole_family_is_corrected_for():
    """1,000 tests of nothing: some 50 would pass alone, none does corrected."""
    generator = np.random.default_rng(0)
    p = sign_flip_p(generator.normal(size=(50, 1000)), 20_000, 0)
    table = pandas.DataFrame({"p": p, "p_least": 1 / 20_001})
    assert 25 <= (table["p"] <= 0.05).sum() <= 75
    assert corrected(table, 0.05)["moved"].sum() == 0


# --- tables -------------------------------------------------------------------------------


def test_what_moved_and_what_is_specific():
    table = pandas.DataFrame(
        {
            "variant": "tuned",
            "trait": "refusal",
            "choice": "chosen",
            "class": ["positive"] * 3,
            "layer": [0, 1, 2],
            "chosen": [0, 1, 0],
            "value": [1.0, 2.0, 0.1],
            "p": [0.001, 0.002, 0.5],
            "p_least": 0.001,
            "random_p": [0.005, 0.4, 0.9],
            "permuted_p": [0.01, 0.01, 0.9],
        }
    )
    found = corrected(table, 0.05)
    assert found["p_holm"].tolist() == pytest.approx([0.003, 0.004, 0.5])
    assert found["moved"].tolist() == [1, 1, 0] and found["specific"].tolist() == [1, 0, 0]
    record = moved_table(found, 0.05)
    at = record["tuned"]["refusal"]["chosen"]["positive"]
    assert (record["family-wise"]["tests"], at["layer"], at["value"]) == (3, 1, 2.0)
    assert (at["layers"], at["layers_moved"], at["layers_specific"]) == (3, 2, 1)


@pytest.mark.parametrize("prompts", [5, 8, 40])
def test_the_least_p_is_that_of_prompts_that_all_moved(prompts: int):
    moved = 1 + np.random.default_rng(0).random((prompts, 1))
    assert sign_flip_p(moved, 2000, 0)[0] == pytest.approx(least_p(prompts, 2000))


def test_what_no_data_could_show_is_undecided():
    """Five prompts: p is never below 1/16, so nothing can be said, not even that nothing moved."""
    found = corrected(pandas.DataFrame({"p": [1 / 16, 1.0], "p_least": least_p(5, 1000)}), 0.05)
    assert found["moved"].isna().all()


def test_the_farthest_from_chance_ranks_first_on_either_side():
    table = pandas.DataFrame(
        {
            "variant": ["a", "a", "a", "b"],
            "layer": [0, 1, 2, 0],
            "auroc": [0.9, 0.0, 1.0, 0.6],
            "random_z": [1.0, -2.0, 5.0, 0.0],
        }
    )
    assert ranked(table)[["variant", "rank", "layer"]].to_numpy().tolist() == [
        ["a", 1, 2],
        ["a", 2, 1],
        ["a", 3, 0],
        ["b", 1, 0],
    ]
