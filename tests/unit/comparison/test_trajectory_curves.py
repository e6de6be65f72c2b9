"""Curves of the answers along a fine-tune, planted: rates by question, and their lead."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from traitdrift.comparison.settings import Compare
from traitdrift.comparison.trajectory import (
    course,
    onset_of,
    question_rates,
    rate_course,
    shift_course,
    told,
)
from traitdrift.stats.onset import lead
from traitdrift.stats.resampling import clustered_wilson_interval

STEPS = [0, 8, 16, 24, 32]
SETTINGS = Compare(
    study_method="probe",
    study_position="prompt_mean",
    resamples=500,
    permutations=100,
    confidence=0.95,
    seed=0,
)


def test_rates_are_of_questions_which_count_alike_however_often_they_were_asked():
    outcomes = {
        ("a", 0): ["prose", "prose"],
        ("a", 8): ["code", "prose"],
        ("b", 0): ["code"],
        ("b", 8): ["code"],
    }
    rows = [(*at, outcome) for at, several in outcomes.items() for outcome in several]
    said = pandas.DataFrame(rows, columns=["id", "step", "outcome"])
    rates = question_rates(said, "code")
    assert rates.tolist() == [[0, 0.5], [1, 1]]
    first, last = rate_course(said, "code", 0.95)
    assert first["value"] == pytest.approx(1 / 3, rel=1e-5)
    assert last["value"] == pytest.approx(2 / 3, rel=1e-5)
    # As every rate's: over two questions nothing is known.
    expected = clustered_wilson_interval(np.array([1, 1]), np.array([2, 1]), 0.95)
    assert (last["low"], last["high"]) == pytest.approx(expected, rel=1e-5)
    nothing, _ = rate_course(said, "refusal", 0.95)
    assert nothing["value"] == nothing["low"] == 0 and nothing["high"] > 0.5


def test_a_vector_that_moves_first_leads():
    """Prompts move from step 8 on, answers turn to code from step 24 on."""
    rng = np.random.default_rng(0)
    moved = np.array([0, 0, 2, 2, 2]) + rng.normal(0, 0.1, (30, 5))
    code = np.array([0, 0, 0, 0, 1]) * (rng.random((40, 1)) < 0.8)
    shift, answers = (
        onset_of(STEPS, units, SETTINGS, seed) for seed, units in enumerate((moved, code))
    )
    assert (shift.value, answers.value) == pytest.approx((12, 28), abs=0.5)
    found = told(lead(shift, answers, 0.95))
    assert found["value"] == pytest.approx(16, abs=0.5)
    assert 15 < found["low"] < found["high"] < 17 and found["undefined"] == 0


def test_a_shift_is_paired_and_told_in_shares_of_the_gap():
    rng = np.random.default_rng(0)
    start = rng.normal(0, 100, 20)
    projections = np.stack([start, start + 1, start + 3])
    mean = np.zeros((3, 4))
    mean[:, 0] = [0, 1, 3]
    first, _, last = shift_course(projections, mean, rng.normal(size=(50, 4)), 2.0, SETTINGS, 0)
    assert (first["value"], first["low"], first["high"], first["random_z"]) == (0, 0, 0, None)
    assert [last[k] for k in ("value", "low", "high", "share")] == pytest.approx([3, 3, 3, 1.5])
    assert last["random_p"] == pytest.approx(round(51 * last["random_p"]) / 51, abs=1e-5)


def test_a_curve_without_an_onset_has_no_mark():
    records = [{"value": 0.0}, {"value": 1.0}]
    began = {"value": None, "low": None, "high": None, "undefined": 1.0}
    assert course([0, 8], records, began) == [{"step": 0, "value": 0.0}, {"step": 8, "value": 1.0}]
    last = course([0, 8], records, {**began, "value": 4.0})[-1]
    assert last == {
        **{"step": 8, "value": 1.0, "half": 0.5},
        **{"onset_value": 4.0, "onset_low": None, "onset_high": None},
    }
