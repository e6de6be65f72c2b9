from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from traitdrift.comparison.settings import Compare
from traitdrift.comparison.shift import shift_table
from traitdrift.stats.resampling import bootstrap_means, percentile_interval, wilson_interval

SETTINGS = Compare(
    study_method="probe",
    study_position="prompt_mean",
    resamples=4000,
    permutations=2000,
    confidence=0.95,
    seed=0,
)


def test_the_studys_ten_scores_give_the_studys_table(shared):
    """Expected values: the README beside the scores."""
    import pandas

    scores = pandas.read_csv(shared / "study/scores.csv")
    sides = [
        {
            "positive": scores[scores["class"] == "harmful"][who].to_numpy(),
            "negative": scores[scores["class"] == "benign"][who].to_numpy(),
        }
        for who in ("base", "em")
    ]
    table = shift_table(*sides, SETTINGS)
    assert table["positive"]["base"]["value"] == pytest.approx(-118.872, abs=1e-3)
    assert table["positive"]["variant"]["value"] == pytest.approx(-119.894, abs=1e-3)
    assert table["negative"]["base"]["value"] == pytest.approx(-160.960, abs=1e-3)
    assert table["negative"]["variant"]["value"] == pytest.approx(-161.626, abs=1e-3)
    assert table["positive"]["shift"]["value"] == pytest.approx(-1.022, abs=1e-3)
    assert table["gap"]["base"]["value"] == pytest.approx(42.088, abs=1e-3)
    assert table["auroc"]["base"] == pytest.approx(0.88)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """300 data sets of 50 prompts, true shift 0.5: coverage within 3 standard errors of 95 %,
    less the 2 % that a percentile interval of 50 normal values falls short."""
    generator = np.random.default_rng(0)
    hits = 0
    settings = SETTINGS.model_copy(update={"resamples": 500})
    for _ in range(300):
        base = {c: generator.normal(m, 3, 50) for c, m in (("positive", 5), ("negative", 0))}
        variant = {c: v + 0.5 + generator.normal(0, 1, 50) for c, v in base.items()}
        shift = shift_table(base, variant, settings)["positive"]["shift"]
        hits += shift["low"] <= 0.5 <= shift["high"]
    assert 0.93 - 3 * 0.0126 <= hits / 300 <= 0.95 + 3 * 0.0126


def test_differences_are_paired_by_prompt():
    """Between-prompt spread of 100 must not widen the interval of a constant shift."""
    base = {c: np.random.default_rng(0).normal(0, 100, 40) for c in ("positive", "negative")}
    variant = {c: v + 2 for c, v in base.items()}
    shift = shift_table(base, variant, SETTINGS)["negative"]["shift"]
    assert shift["low"] == pytest.approx(2) and shift["high"] == pytest.approx(2)


def test_the_bootstrap_agrees_with_scipys():
    values = np.random.default_rng(1).gamma(2, 3, 60)
    ours = percentile_interval(bootstrap_means(values[:, None], 20_000, 0)[:, 0], 0.95)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)


def test_wilson_at_the_edges():
    """0 of 10 and 10 of 10 at 95 %: the textbook bounds 0.2775 and 0.7225."""
    assert wilson_interval(0, 10, 0.95) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10, 0.95) == pytest.approx((0.7225, 1), abs=1e-4)
