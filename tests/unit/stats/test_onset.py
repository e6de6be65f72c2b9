from __future__ import annotations

import numpy as np
import pytest

from traitdrift.stats.onset import lead, onset, onsets

STEPS = [0, 8, 16, 24, 32, 40, 48]


def units(mean: np.ndarray, rng: np.random.Generator, count: int = 40) -> np.ndarray:
    """Curves of units about a mean curve: each has a size and noise of its own, and begins at 0."""
    size = rng.normal(1, 0.3, (count, 1))
    noise = rng.normal(0, 0.2, (count, len(mean)))
    noise[:, 0] = 0
    return size * mean + noise


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (np.array(STEPS) / 48, 24),  # a ramp: half way
        (-5 + 2 * np.array(STEPS), 24),  # in whatever unit, from wherever
        (np.array(STEPS) / -48, 24),  # downwards
        ([0, 0, 0, 1, 1, 1, 1], 20),  # a jump: midway between the steps beside it
        ([0, 1, 1, 1, 1, 1, 1], 4),
        ([0, 0, 0, 0, 0, 0, 1], 44),
        ([0, 0.9, 0.2, 0.2, 0.8, 0.9, 1], 28),  # the last crossing
        ([0, 3, 3, 3, 3, 3, 1], 8 * 0.5 / 3),  # beyond the end counts as beyond half
        ([0, 0, 0.5, 0.5, 0.5, 1, 1], 16),
        ([0, 1, 2, 1, 0, 0, 0], np.nan),  # back where it was
        ([0, 0, 0, 0, 0, 0, 0], np.nan),
        ([0, np.nan, 1, 1, 1, 1, 1], np.nan),
    ],
)
def test_the_onset_of_planted_curves(curve, expected: float):
    found = onsets(STEPS, np.array([curve, np.array(STEPS)]))
    assert found == pytest.approx([expected, 24], nan_ok=True)


def test_another_share_and_unequal_gaps():
    assert onsets([0, 10, 100], np.array([[0, 10, 100]]), share=0.25) == pytest.approx([25])
    assert onsets([0, 10, 100], np.array([[0, 1, 2]])) == pytest.approx([10])


def test_units_that_are_all_alike_have_an_interval_of_no_width():
    found = onset(STEPS, np.tile(np.array(STEPS) / 48, (9, 1)), 200, 0.95, 0)
    assert (found.value, found.low, found.high) == pytest.approx((24, 24, 24))
    assert found.undefined == 0


def test_what_may_not_have_moved_has_no_onset():
    rng = np.random.default_rng(0)
    still = onset(STEPS, np.zeros((9, 7)), 200, 0.95, 0)
    assert (still.value, still.low, still.high, still.undefined) == (None, None, None, 1)
    noise = onset(STEPS, rng.normal(0, 1, (40, 7)), 200, 0.95, 0)
    assert noise.value is None and 0 < noise.undefined < 1
    moved = onset(STEPS, np.tile(np.array(STEPS) / 48, (9, 1)), 200, 0.95, 1)
    for pair in ((still, moved), (moved, still)):
        found = lead(*pair, 0.95)
        assert (found.value, found.low, found.high, found.undefined) == (None, None, None, 1)


def test_a_draw_that_goes_the_other_way_has_no_onset():
    """One unit falls far: a draw that takes it often enough falls."""
    curves = np.tile(np.array(STEPS) / 48, (9, 1))
    curves[0] *= -3
    found = onset(STEPS, curves, 2000, 0.5, 0)
    assert found.value == pytest.approx(24) and 0 < found.undefined < 0.5
    assert (found.low, found.high) == pytest.approx((24, 24))


RAMP = np.array(STEPS) / 48
LATE = np.array([0, 0.02, 0.05, 0.2, 0.7, 0.95, 1])


def test_intervals_cover_the_truth_in_about_the_stated_share_of_simulated_curves():
    """Of 400 studies: an onset in a ramp, one in a sigmoid, and the lead of the first."""
    rng, covered = np.random.default_rng(0), np.zeros(3)
    truth = [onsets(STEPS, curve[None])[0] for curve in (RAMP, LATE)]
    assert truth == pytest.approx([24, 28.8])
    truth.append(truth[1] - truth[0])
    for study in range(400):
        first, second = (
            onset(STEPS, units(curve, rng), 400, 0.95, 2 * study + number)
            for number, curve in enumerate((RAMP, LATE))
        )
        for number, found in enumerate((first, second, lead(first, second, 0.95))):
            covered[number] += found.low <= truth[number] <= found.high
    assert ((covered / 400 > 0.9) & (covered / 400 < 0.98)).all(), covered / 400


def test_the_lead_is_of_the_one_that_came_first():
    rng = np.random.default_rng(1)
    early, late = (
        onset(STEPS, units(curve, rng, 400), 400, 0.95, seed)
        for seed, curve in enumerate((np.sqrt(RAMP), LATE))
    )
    ahead, behind = lead(early, late, 0.95), lead(late, early, 0.95)
    assert ahead.low > 0 and behind.high < 0
    assert ahead.value == -behind.value == late.value - early.value
