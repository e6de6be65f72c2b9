"""The table of interventions: rates, differences from doing nothing, and what broke."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch

from traitdrift.stats.resampling import (
    clustered_wilson_interval,
    paired_differences,
    wilson_interval,
)
from traitdrift.steering.effect_settings import SteerEffects
from traitdrift.steering.effects import effect_rows, effect_table
from traitdrift.steering.interventions import conditions

SETTINGS = SteerEffects(resamples=2000, confidence=0.95, seed=0)
ROWS = conditions(torch.eye(4)[0], torch.eye(4)[1], 1.0, [1.0, 2.0])
NAMES = [row.name for row in ROWS]
QUESTIONS = 10


def said() -> pandas.DataFrame:
    """Two answers to each of ten questions: code to the first k questions, else prose."""
    code = {"add_1.0": 4, "add_2.0": 10, "add_random_1.0": 1}
    return pandas.DataFrame(
        {
            "id": f"q{question}",
            "condition": name,
            "outcome": "code" if question < code.get(name, 0) else "prose",
        }
        for question in range(QUESTIONS)
        for _ in range(2)
        for name in NAMES
    )


@pytest.fixture(scope="module")
def table() -> dict:
    """`add_random_2.0` broke; each condition costs 0.1 nats more than the one before it."""
    texts = np.random.default_rng(0).normal(-3, 1, (6, 1)) - 0.1 * np.arange(len(NAMES))
    texts[2, NAMES.index("add_random_2.0")] = np.nan
    finite = np.isfinite(texts).all(axis=0)
    projections = {"projection": np.tile(np.arange(len(NAMES)) / 7, (20, 1))}
    return effect_table(said(), texts, projections, finite, ROWS, SETTINGS)


def test_rates_and_differences_are_those_of_the_answers(table):
    assert list(table) == NAMES
    for name, rate in (("none", 0), ("add_1.0", 0.4), ("add_2.0", 1), ("add_random_1.0", 0.1)):
        for outcome, expected in (("code", rate), ("prose", 1 - rate), ("refusal", 0)):
            figures = table[name][outcome]
            # Both answers to a question are alike, so that 20 answers tell what 10 questions do.
            of_two = np.repeat([2, 0], [round(10 * expected), round(10 * (1 - expected))])
            low, high = clustered_wilson_interval(of_two, np.full(QUESTIONS, 2), 0.95)
            assert figures["rate"] == pytest.approx(expected)
            assert (figures["low"], figures["high"]) == pytest.approx((low, high), abs=1e-5)
            by_answer = wilson_interval(round(20 * expected), 20, 0.95)
            assert high - low > 1.3 * (by_answer[1] - by_answer[0])
        assert table[name]["code"]["difference"]["value"] == pytest.approx(rate)
    assert table["none"]["code"]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert table["add_1.0"]["code"]["over_random"]["value"] == pytest.approx(0.3)
    assert table["add_2.0"]["code"]["over_random"]["value"] is None  # the random one broke
    assert "over_random" not in table["none"]["code"] | table["add_random_1.0"]["code"]
    # Whole questions are drawn, not answers: 4 of 10 questions, not 8 of 20 answers.
    difference = table["add_1.0"]["code"]["difference"]
    assert (difference["low"], difference["high"]) == pytest.approx((0.1, 0.7), abs=0.1)


def test_text_is_compared_paragraph_by_paragraph(table):
    """Paragraphs spread by 1 nat; a constant cost has an interval of no width all the same."""
    for i, name in enumerate(NAMES):
        if name == "add_random_2.0":
            continue
        difference = table[name]["log_probability"]["difference"]
        assert list(difference.values()) == pytest.approx([-0.1 * i] * 3, abs=1e-6)
    assert table["add_1.0"]["projection"] == round(NAMES.index("add_1.0") / 7, 6)


def test_what_broke_has_no_figures_and_the_others_have_theirs(table):
    broken = table["add_random_2.0"]
    nothing = {"value": None, "low": None, "high": None}
    assert broken["finite"] is False
    for outcome in ("code", "refusal", "prose"):
        assert broken[outcome] == {
            "rate": None,
            "low": None,
            "high": None,
            "difference": nothing,
        }
    assert broken["log_probability"] == {"value": None, "difference": nothing}
    for name in NAMES:
        if name != "add_random_2.0":
            assert table[name]["finite"] is True
            assert None not in (*table[name]["code"].values(), table[name]["projection"])


def test_the_flat_rows_are_the_same_figures(table):
    rows = effect_rows(table, ROWS)
    assert len(rows) == 3 * len(NAMES)
    row = rows[(rows["condition"] == "add_random_1.0") & (rows["outcome"] == "code")].iloc[0]
    assert (row["kind"], row["vector"], row["coefficient"]) == ("add", "random", 1.0)
    assert row["rate"] == 0.1
    assert row["difference_high"] == table["add_random_1.0"]["code"]["difference"]["high"]
    cost = table["add_random_1.0"]["log_probability"]["difference"]["low"]
    assert row["log_probability_difference_low"] == cost
    coefficients = dict(zip(rows["condition"], rows["coefficient"], strict=True))
    assert coefficients["none"] == 0 and np.isnan(coefficients["ablate"])


def test_an_undefined_column_does_not_touch_the_others():
    values = np.random.default_rng(0).normal(size=(30, 3))
    whole = paired_differences(values, 500, 0.9, 1)
    values[4, 1] = np.nan
    holed = paired_differences(values, 500, 0.9, 1)
    assert holed[0] == whole[0] and holed[2] == whole[2]
    assert all(np.isnan(figure) for figure in holed[1].values())
