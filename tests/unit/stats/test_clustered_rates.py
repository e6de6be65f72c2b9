"""The interval of a rate whose answers come by question: as wide as the questions say."""

from __future__ import annotations

import numpy as np
import pytest

from traitdrift.behaviour.outcomes import outcome_rates
from traitdrift.stats.resampling import clustered_wilson_interval, wilson_interval


def covered(questions: int, answers: int, mean: float, alike: float, draws: int = 1000):
    """The shares of simulated data sets whose interval holds the mean: clustered, and Wilson's.

    A question's own rate is drawn from a beta distribution whose intraclass correlation is
    `alike`, and its answers from that.
    """
    rng = np.random.default_rng(0)
    scale = 1 / alike - 1
    own = rng.beta(mean * scale, (1 - mean) * scale, (draws, questions))
    hits = rng.binomial(answers, own)
    trials = np.full(questions, answers)
    by_question = [clustered_wilson_interval(one, trials, 0.95) for one in hits]
    by_answer = [wilson_interval(int(one.sum()), questions * answers, 0.95) for one in hits]
    return [
        np.mean([low <= mean <= high for low, high in intervals])
        for intervals in (by_question, by_answer)
    ]


@pytest.mark.parametrize("answers", [4, 100])
@pytest.mark.parametrize(("mean", "alike"), [(0.5, 0.3), (0.8, 0.7)])
def test_it_covers_where_wilson_over_answers_does_not(answers, mean, alike):
    by_question, by_answer = covered(36, answers, mean, alike)
    assert 0.93 <= by_question <= 0.98
    assert by_answer < (0.90 if answers == 4 else 0.35)


def test_answers_as_unlike_as_coin_tosses_lose_little():
    by_question, by_answer = covered(36, 4, 0.5, 1e-6)
    assert by_question >= 0.94 and by_answer >= 0.93
    independent = clustered_wilson_interval(np.tile([1, 2, 3, 2], 9), np.full(36, 4), 0.95)
    low, high = wilson_interval(72, 144, 0.95)
    assert independent == pytest.approx((low, high), abs=0.005)


def test_questions_that_are_all_alike_count_one_each():
    all_or_nothing = clustered_wilson_interval(np.repeat([4, 0], 18), np.full(36, 4), 0.95)
    low, high = wilson_interval(18, 36, 0.95)
    # Student's quantile and a variance over 35 in place of 36 make it a little wider.
    assert low - 0.02 < all_or_nothing[0] < low and high < all_or_nothing[1] < high + 0.02


def test_no_variance_to_estimate_counts_questions():
    low, high = clustered_wilson_interval(np.zeros(36), np.full(36, 100), 0.95)
    assert low == 0 and wilson_interval(0, 36, 0.95)[1] < high < 0.11
    low, high = clustered_wilson_interval(np.full(36, 100), np.full(36, 100), 0.95)
    assert high == 1 and 0.89 < low < wilson_interval(36, 36, 0.95)[0]


def test_every_interval_holds_its_rate_and_is_one_of_rates():
    for questions in (2, 8, 9, 36):
        for answers in (2, 3, 7):
            for hits in (
                np.zeros(questions),
                np.full(questions, answers),
                np.arange(questions) % 3,
            ):
                trials = np.full(questions, answers)
                low, high = clustered_wilson_interval(np.minimum(hits, answers), trials, 0.95)
                assert 0 <= low <= np.minimum(hits, answers).sum() / trials.sum() <= high <= 1


def test_one_question_or_one_answer_each_is_wilsons():
    assert clustered_wilson_interval(np.array([3]), np.array([10]), 0.9) == wilson_interval(
        3, 10, 0.9
    )
    ones = np.array([1, 0, 0, 1, 1])
    assert clustered_wilson_interval(ones, np.ones(5), 0.9) == wilson_interval(3, 5, 0.9)


def test_rates_of_answers_count_by_question():
    outcomes = ["code"] * 4 + ["prose"] * 3 + ["refusal"] + ["code", "prose"] * 2
    questions = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    code, refusal, prose = outcome_rates(outcomes, questions, 0.95)
    assert [one["answers"] for one in (code, refusal, prose)] == [6, 1, 5]
    assert (code["of"], code["rate"]) == (12, 0.5)
    expected = clustered_wilson_interval(np.array([4, 0, 2]), np.full(3, 4), 0.95)
    assert (code["low"], code["high"]) == expected
    shuffled = [7, 2, 10, 0, 5, 11, 1, 8, 4, 3, 9, 6]
    again = outcome_rates([outcomes[i] for i in shuffled], [questions[i] for i in shuffled], 0.95)
    assert again == [code, refusal, prose]
