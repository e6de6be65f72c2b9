"""Draws crossed with prompts: what one draw claims too often, several do not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from traitdrift.stats.replicates import beyond, exact_permutation_p, over_draws
from traitdrift.stats.resampling import sign_flip_p

PROMPTS = 50


def planted(shift: float, draws: int, count: int, seed: int, between: float = 0.5) -> np.ndarray:
    """`[data set, draw, prompt]`: a shift, what draw and prompt add to it, and noise."""
    rng = np.random.default_rng(seed)
    of_draw = rng.normal(0, between, (count, draws, 1))
    of_prompt = rng.normal(0, 1, (count, 1, PROMPTS))
    return shift + of_draw + of_prompt + rng.normal(0, 1, (count, draws, PROMPTS))


@pytest.mark.parametrize("draws", [3, 5])
def test_several_draws_claim_as_often_as_they_say_and_one_far_more_often(draws: int):
    """No shift, and a standard deviation of 0.5 between draws: a prompt's own is 1."""
    sets = planted(0, draws, 2000, 0)
    of_several = np.mean([over_draws(one, 0.95)["p"] <= 0.05 for one in sets])
    of_one = np.mean([sign_flip_p(one[:1].T, 999, 0)[0] <= 0.05 for one in sets[:400]])
    assert 0.025 <= of_several <= 0.075
    assert of_one > 0.3


def test_power_grows_with_the_draws():
    """A shift of two standard deviations between draws."""
    found = [
        np.mean([over_draws(one, 0.95)["p"] <= 0.05 for one in planted(1.0, draws, 500, 1)])
        for draws in (2, 3, 5)
    ]
    assert found[0] < 0.25 < 0.3 < found[1] < 0.5 < 0.75 < found[2]


@pytest.mark.parametrize("between", [0.0, 0.5, 2.0])
def test_the_intervals_hold_the_recipes_mean_and_a_new_fine_tune(between: float):
    sets = planted(1.0, 4, 1000, 2, between)
    new = planted(1.0, 1, 1000, 3, between).mean((1, 2))
    found = [over_draws(one, 0.9) for one in sets]
    mean = np.mean([one["low"] <= 1.0 <= one["high"] for one in found])
    held = np.mean(
        [one["new_low"] <= x <= one["new_high"] for one, x in zip(found, new, strict=True)]
    )
    assert 0.87 <= mean <= (0.95 if between else 0.97)
    assert 0.87 <= held <= (0.95 if between else 0.97)
    # What a single draw's prompts say of a new fine-tune holds it less and less.
    of_one = [stats.t.interval(0.9, PROMPTS - 1, x[0].mean(), stats.sem(x[0])) for x in sets]
    one = np.mean([low <= x <= high for (low, high), x in zip(of_one, new, strict=True)])
    assert one < (0.80 if between == 0 else 0.50 if between == 0.5 else 0.15)


def test_draws_that_do_not_differ_leave_the_prompts_interval():
    """The same adapter three times: the interval is Student's over prompts."""
    prompts = np.random.default_rng(0).normal(0.3, 1, PROMPTS)
    found = over_draws(np.tile(prompts, (3, 1)), 0.95)
    low, high = stats.t.interval(0.95, PROMPTS - 1, prompts.mean(), stats.sem(prompts))
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["sd"] == pytest.approx(0) and found["new_low"] < low and found["new_high"] > high
    nothing = over_draws(np.zeros((3, PROMPTS)), 0.95)
    assert nothing["p"] == 1 and nothing["low"] == nothing["new_high"] == 0
    assert over_draws(np.ones((3, PROMPTS)), 0.95)["p"] == 0


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5)])
def test_beyond_the_control_is_claimed_as_often_as_it_says(sizes: tuple[int, int]):
    """Both move by as much, on the same prompts."""
    tuned, control = planted(1, sizes[0], 1000, 4), planted(1, sizes[1], 1000, 5)
    found = [beyond(one, other, 0.95) for one, other in zip(tuned, control, strict=True)]
    assert np.mean([one["p"] <= 0.05 for one in found]) <= 0.075
    assert np.mean([one["low"] <= 0 <= one["high"] for one in found]) >= 0.925
    # Two draws' standard deviation is known so badly that only what is far beyond is told.
    pairs = zip(tuned, control, strict=True)
    assert np.mean([beyond(one + 9, other, 0.95)["low"] > 0 for one, other in pairs]) > 0.8


def test_p_is_at_most_alpha_where_the_interval_leaves_zero_out():
    sets = planted(0.8, 3, 200, 7)
    for confidence in (0.9, 0.99):
        found = [over_draws(one, confidence) for one in sets]
        out = [one["low"] > 0 or one["high"] < 0 for one in found]
        assert out == [one["p"] <= 1 - confidence for one in found]
        assert 0.02 < np.mean(out) < 0.98


def test_exact_permutations_have_the_floors_that_are_told():
    for size, floor in ((2, 2 / 6), (3, 0.1), (4, 2 / 70), (5, 2 / 252)):
        apart = exact_permutation_p(np.arange(size) + 10.0, np.arange(size) * 1.0)
        assert apart == pytest.approx((floor, floor))
    assert exact_permutation_p(np.array([9.0]), np.array([1.0, 2, 3])) == (0.25, 0.25)
    assert exact_permutation_p(np.array([1.0, 2]), np.array([1.0, 2]))[0] == 1
    p, _ = exact_permutation_p(np.array([1.0, 2, 6]), np.array([3.0, 4, 5]))
    every = [abs(2 * sum(chosen) - 21) for chosen in combinations(range(1, 7), 3)]
    assert p == np.mean([gap >= 3 for gap in every])


def test_exact_permutations_claim_no_more_than_they_say():
    rng = np.random.default_rng(6)
    p = [exact_permutation_p(*rng.normal(0, 1, (2, 4)))[0] for _ in range(1000)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 0.02
    apart = [exact_permutation_p(rng.normal(3, 1, 4), rng.normal(0, 1, 4))[0] for _ in range(200)]
    assert np.mean(np.array(apart) <= 0.05) > 0.75
