"""Which verdicts two results do not share, and which figures left their interval."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas
import pytest
from results import rates, shifted, write_results
from rich.console import Console

from traitdrift.report import verdict_text
from traitdrift.report.numbers import MINUS
from traitdrift.report.verdicts import Changed, compared, outside, rows, said

Files = dict[str, Any]
TESTED = "metrics/multiple_testing.json"
SHIFTS = "plots/multiple_testing/shifts.csv"


def read(root: Path) -> Files:
    found: Files = {
        str(path.relative_to(root)): json.loads(path.read_text())
        for path in sorted((root / "metrics").rglob("*.json"))
    }
    return found | {SHIFTS: rows(pandas.read_csv(root / SHIFTS))}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Files:
    return read(write_results(tmp_path_factory.mktemp("results")))


@pytest.fixture
def old(made: Files) -> Files:
    return deepcopy(made)


@pytest.fixture
def new(made: Files) -> Files:
    return deepcopy(made)


def test_a_result_against_itself_has_nothing_to_say(old: Files, new: Files):
    found = compared(old, new)
    assert (found.changed, found.alone, found.layers_changed) == ([], 0, 0)
    assert found.verdicts == len(dict(said(old))) > 20 and found.layers == 32
    assert not any(one.outside for one in found.left)


def shift(**figures: float | None) -> Callable[[Files], None]:
    return lambda files: files[TESTED]["secure"]["refusal"]["chosen"]["positive"].update(figures)


CHANGES: dict[str, tuple[Callable[[Files], None], Changed]] = {
    "it moved": (
        shift(moved=1),
        Changed("secure, refusal (chosen), positive", "not shown", "moved, not specific (+)"),
    ),
    "it moved the other way, on its own": (
        shift(moved=1, specific=1, value=-4.0),
        Changed("secure, refusal (chosen), positive", "not shown", f"moved, specific ({MINUS})"),
    ),
    "it can no more be told": (
        shift(moved=None),
        Changed("secure, refusal (chosen), positive", "not shown", "undecided"),
    ),
    "another kind of answers": (
        lambda files: files["metrics/behaviour/secure.json"].update(rates(0.3)),
        Changed(
            "secure: answers",
            "mostly code, more code, less prose",
            "mostly prose, more code, less prose",
        ),
    ),
    "another vector": (
        lambda files: files["metrics/vectors/refusal.json"].update(layer=3),
        Changed(
            "refusal: chosen vector",
            "prompt_mean, mean_diff, layer 1",
            "prompt_mean, mean_diff, layer 3",
        ),
    ),
    "the fine-tune is not detected": (
        lambda files: files["metrics/discrimination.json"]["at_the_chosen_layer"]["secure"][
            "code_mode"
        ].update(moved=0),
        Changed("secure, code_mode, evaluation questions", "moved, not specific (+)", "not shown"),
    ),
    "an effect turns": (
        lambda files: files["metrics/decomposition.json"]["secure"]["refusal"].update(
            text={"value": -4.0, "moved": 1}
        ),
        Changed("secure, refusal, effect of text", "shown (+)", f"shown ({MINUS})"),
    ),
    "an intervention does something": (
        lambda files: files["metrics/steer/base.json"]["conditions"]["ablate"]["code"].update(
            difference={"value": -2.0, "low": -3.0, "high": -1.0}
        ),
        Changed("base under ablate, code vs none", "no difference", "less"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_verdict_is_one_line(name: str, old: Files, new: Files):
    change, expected = CHANGES[name]
    change(new)
    assert compared(old, new).changed == [expected]


def test_the_weightiest_come_first(old: Files, new: Files):
    for change, _ in CHANGES.values():
        change(new)
    new[TESTED]["insecure"]["code_mode"]["chosen"]["negative"] |= shifted(0, 0, 0)
    assert [one.about for one in compared(old, new).changed] == [
        "secure: answers",
        "insecure, code_mode (chosen), negative",  # from the surest to none at all
        "secure, refusal (chosen), positive",
        "refusal: chosen vector",
        "secure, code_mode, evaluation questions",
        "secure, refusal, effect of text",
        "base under ablate, code vs none",
    ]


def test_what_one_of_the_two_lacks_is_counted_and_no_change(old: Files, new: Files):
    del new["metrics/steer/secure.json"], new[TESTED]["secure"], new[SHIFTS]
    found = compared(old, new)
    assert found.changed == [] and found.alone == 6 and found.layers == 0


def test_layers_are_counted(old: Files, new: Files):
    for layer in ("0", "3"):
        new[SHIFTS]["insecure"]["refusal"]["chosen"]["negative"][layer]["moved"] = 1
    found = compared(old, new)
    assert (found.changed, found.layers_changed) == ([], 2)


def test_figures_outside_their_interval(old: Files, new: Files):
    new[TESTED]["secure"]["code_mode"]["chosen"]["positive"]["value"] = 3.5  # [1, 3]
    new["metrics/behaviour/secure.json"]["code"]["rate"] = 0.849  # [0.75, 0.85]
    new["metrics/discrimination.json"]["at_the_chosen_layer"]["secure"]["refusal"]["auroc"] = 0.79
    for variant, value in (("base", 5.0), ("secure", -1.5)):  # [-1, 4]
        table = new[f"metrics/compare/{variant}.json"]["refusal"]["chosen"]["gap"]
        table["shift"] = {**table["shift"], "value": value}
    found = {one.place: one for one in outside(old, new) if one.outside}
    assert {place: one.outside for place, one in found.items()} == {
        "metrics/compare": 2,
        TESTED: 1,
        "metrics/discrimination.json": 1,
    }
    assert found["metrics/compare"].farthest == (
        "base.refusal.chosen.gap.shift.value 5, not in [-1, 4]"
    )
    assert found["metrics/discrimination.json"].farthest.endswith(
        "secure.refusal.auroc 0.79, not in [0.8, 0.95]"
    )


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_figure_that_the_other_result_cannot_tell_has_left_its_interval(value: float | None):
    old = {"metrics/a.json": {"b": {"value": 1.0, "low": 0.0, "high": 2.0}}}
    (found,) = outside(old, {"metrics/a.json": {"b": {"value": value, "low": value}}})
    assert (found.figures, found.outside) == (1, 1)
    assert found.farthest == "b.value undefined, not in [0, 2]"


@pytest.mark.parametrize(
    "record",
    [
        {"random_low": 0.0, "random_high": 1.0},  # of nulls; no figure of its own
        {"value": None, "low": 0.0, "high": 1.0},
        {"value": 1.0, "low": None, "high": None},
        {"low": 0.0, "high": 1.0},
        {"value": 1.0, "low": 0.0},
    ],
)
def test_what_has_no_interval_is_not_counted(record: Files):
    assert outside({"metrics/a.json": record}, {"metrics/a.json": record}) == []


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_summary_stays_within_the_terminal(width: int, old: Files, new: Files):
    for change, _ in CHANGES.values():
        change(new)
    new["metrics/compare/base.json"]["refusal"]["chosen"]["gap"]["shift"] = {"value": 99.0}
    told = io.StringIO()
    made_on = (["x86_64 GenuineIntel avx2 avx512f amx_bf16, 2 threads"], [])
    shown = verdict_text.of(compared(old, new), "HEAD", "workspace", made_on, ["steer@base"])
    Console(file=told, width=width).print(shown)
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    text = told.getvalue()
    assert "6 of " in text and "steer@base" in text and "workspace was made on" in text
