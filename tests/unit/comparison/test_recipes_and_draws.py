"""Draws of recipes from the tables of their cells: what is the data's, and what the draw's."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from traitdrift.comparison.replicates import (
    MEASURE,
    TOLD,
    apart,
    base_gaps,
    by_draw,
    means_of_draws,
    measured,
    of_recipes,
    recipe_of,
    recipes,
)
from traitdrift.stats.replicates import over_draws
from traitdrift.training.settings import Finetune

TUNED = {
    **{name: Finetune(dataset="bad", seed=k) for k, name in enumerate(("bad", "bad_1", "bad_2"))},
    **{name: Finetune(dataset="plain", seed=k) for k, name in enumerate(("plain", "plain_1"))},
}
DRAWN = ["base", "bad", "plain", "bad_1", "elsewhere", "bad_2", "plain_1"]
DRAWS = {
    "bad": ["bad", "bad_1", "bad_2"],
    "plain": ["plain", "plain_1"],
    "elsewhere": ["elsewhere"],
}
PROMPTS = 30


def tables(moves: dict[str, float]) -> pandas.DataFrame:
    """Two traits: code moves by `moves` a draw, and warmth by nothing but noise; rates beside."""
    rng = np.random.default_rng(0)
    shifts, rates = {}, {}
    for name in [name for name in DRAWN if name != "base"]:
        rows = [
            {"trait": trait, "class": label, "prompt": f"prompt {k}", "base": 1.0}
            | {"variant": 1.0 + rng.normal(moves[name] if trait == "code" else 0, 0.5)}
            for trait in ("code", "warmth")
            for label in ("positive", "negative")
            for k in range(PROMPTS)
        ]
        shifts[name] = pandas.DataFrame(rows)
        of_question = [
            {"question": f"q{k}", "outcome": outcome, "rate": rate}
            for k in range(8)
            for outcome, rate in (("code", moves[name] / 10), ("prose", 1 - moves[name] / 10))
        ]
        overall = [{"question": "all", "outcome": "code", "rate": 9.0}]
        rates[name] = pandas.DataFrame(overall + of_question)
    return measured(shifts, rates)


@pytest.fixture(scope="module")
def table() -> pandas.DataFrame:
    moves = {"bad": 8.0, "bad_1": 8.2, "bad_2": 7.8, "plain": 1.0, "plain_1": 1.2, "elsewhere": 5}
    return tables(moves)


def test_draws_are_fine_tunes_of_one_data_set():
    assert recipes(TUNED, DRAWN) == DRAWS
    assert recipes(TUNED, ["base"]) == {}
    assert recipes(TUNED, ["base", "bad_2", "bad"]) == {"bad_2": ["bad_2", "bad"]}


def test_any_draw_of_the_control_names_it():
    assert recipe_of("plain_1", DRAWS) == recipe_of("plain", DRAWS) == "plain"
    assert recipe_of("elsewhere", DRAWS) == "elsewhere" and recipe_of(None, DRAWS) is None


def test_every_cell_is_a_draw_and_a_prompt_or_a_question(table):
    code = table[(table["kind"] == "shift") & (table["name"] == "code")]
    values = by_draw(code[code["class"] == "positive"], DRAWS["bad"])
    assert values.shape == (3, PROMPTS)
    assert values.mean(1) == pytest.approx([8, 8.2, 7.8], abs=0.4)
    rates = table[(table["kind"] == "rate") & (table["name"] == "code")]
    assert by_draw(rates, ["plain_1", "bad"]) == pytest.approx(np.repeat([[0.12], [0.8]], 8, 1))


def test_a_shift_is_of_the_data_where_it_goes_beyond_the_control(table):
    found = of_recipes(table, DRAWS, "plain", 0.95, 0.05).set_index(["recipe", *MEASURE])
    code = found.loc["bad", "shift", "code", "positive"]
    assert (code["draws"], code["moved"], code["beyond"]) == (3, 1, 1)
    assert code["value"] == pytest.approx(8, abs=0.2) and 0.05 < code["sd"] < 0.5
    assert code["beyond_value"] == pytest.approx(6.9, abs=0.3)
    assert code["new_low"] < code["low"] < code["value"] < code["high"] < code["new_high"]
    warmth = found.loc["bad", "shift", "warmth", "positive"]
    assert (warmth["moved"], warmth["beyond"]) == (0, 0)
    control = found.loc["plain", "shift", "code", "positive"]
    assert control["draws"] == 2 and pandas.isna(control["beyond_value"])
    rate = found.loc["bad", "rate", "code", "answers"]
    assert rate["value"] == pytest.approx(0.8) and pandas.isna(rate["p"]) and rate["beyond"] == 1
    # Corrected for all that was looked at.
    told = found["beyond_p"].dropna()
    assert len(told) == 6 and (found["beyond_p_holm"].dropna() >= told).all()


def test_each_draw_is_told_beside_its_recipe(table):
    found = of_recipes(table, DRAWS, "plain", 0.95, 0.05)
    rows = means_of_draws(table, DRAWS, found, {"code": 4.0, "warmth": 2.0})
    assert len(rows) == 6 * (2 * 2 + 2)
    code = rows[(rows["kind"] == "shift") & (rows["name"] == "code") & (rows["recipe"] == "bad")]
    positive = code[code["class"] == "positive"].set_index("draw")
    assert list(positive.index) == DRAWS["bad"]
    assert positive["value"].mean() == pytest.approx(positive["mean"].iloc[0], rel=1e-4)
    assert positive["mean"].nunique() == positive["new_low"].nunique() == 1
    assert (positive["gap"] == 4.0).all()
    assert rows[rows["kind"] == "rate"]["gap"].isna().all()
    assert rows[rows["recipe"] == "elsewhere"]["new_low"].isna().all()


def test_the_gap_is_that_of_bases_classes():
    rows = [("code", "positive", 5.0), ("code", "positive", 7.0), ("code", "negative", -1.0)]
    rows += [("warmth", "positive", 1.0), ("warmth", "negative", 3.0)]
    one = pandas.DataFrame(rows, columns=["trait", "class", "base"])
    assert base_gaps({"bad": one, "plain": one}) == {"code": 7.0, "warmth": -2.0}
    assert base_gaps({}) == {}


def test_of_one_draw_only_the_mean_is_told(table):
    found = of_recipes(table, DRAWS, "plain", 0.95, 0.05)
    one = found[found["recipe"] == "elsewhere"]
    assert (one["draws"] == 1).all() and one["value"].notna().all()
    assert one["beyond_value"].notna().all()
    assert one[["sd", "low", "new_low", "p", "moved", "beyond_p", "beyond"]].isna().all(axis=None)
    alone = of_recipes(table, {"bad": ["bad"]}, None, 0.95, 0.05)
    assert alone[TOLD].notna().any().to_dict() == dict.fromkeys(TOLD, False) | {"value": True}


def test_a_share_lies_between_none_and_all():
    moves = {"bad": 9.9, "bad_1": 1.0, "bad_2": 9.0, "plain": 0.0, "plain_1": 9.0, "elsewhere": 5}
    found = of_recipes(tables(moves), DRAWS, "plain", 0.95, 0.05)
    rates = found[found["kind"] == "rate"].set_index(["recipe", "name"])
    wide = rates.loc["bad", "code"]
    assert wide["new_low"] == wide["low"] == 0 and wide["new_high"] == wide["high"] == 1
    assert (wide["beyond_low"], wide["beyond_high"]) == (-1, 1)
    shift = found[(found["recipe"] == "bad") & (found["name"] == "code")].iloc[0]
    assert shift["new_high"] > 1 and shift["new_low"] < 0  # which is no share


def test_the_figures_are_those_of_the_draws(table):
    found = of_recipes(table, DRAWS, None, 0.9, 0.05)
    row = found[(found["recipe"] == "bad") & (found["name"] == "code")].iloc[0]
    rows = table[(table["kind"] == "shift") & (table["name"] == "code")]
    whole = over_draws(by_draw(rows[rows["class"] == row["class"]], DRAWS["bad"]), 0.9)
    assert row[[*whole]].to_dict() == pytest.approx(whole, rel=1e-5)
    assert found["beyond_value"].isna().all()


def test_recipes_are_apart_by_their_draws(table):
    found = apart(table, {name: DRAWS[name] for name in ("bad", "plain")})
    code = found[(found["name"] == "code") & (found["class"] == "positive")].iloc[0]
    assert (code["one"], code["other"]) == ("bad", "plain")
    assert code["value"] == pytest.approx(6.9, abs=0.3)
    assert code["p"] == code["p_least"] == pytest.approx(0.1)
    assert len(found) == 6 and (found["p"] >= found["p_least"]).all()
    assert list(apart(table, {"bad": DRAWS["bad"]}).columns) == list(found.columns)


def test_of_one_question_only_the_mean_is_told(table):
    """Between questions nothing is known, whatever the draws say."""
    one = table[(table["kind"] == "rate") & (table["unit"] == "q0")]
    found = of_recipes(one, DRAWS, "plain", 0.95, 0.05)
    assert len(found) == 6 and found["value"].notna().all()
    assert found[["sd", "low", "new_low", "beyond_p", "beyond"]].isna().all(axis=None)


def test_base_alone_has_no_draws():
    nothing = measured({}, {})
    assert len(of_recipes(nothing, {}, None, 0.95, 0.05)) == len(apart(nothing, {})) == 0
