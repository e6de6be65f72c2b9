"""The pictures: one source for PNG and `dvc plots`, the same bytes again, nothing of what broke."""

from __future__ import annotations

import csv
import io
import json
import re

import pandas
import pytest
import vl_convert
from copies import ROOT
from ruamel.yaml import YAML

from traitdrift.core.files import csv_text
from traitdrift.report.chart_data import marked, with_vectors
from traitdrift.report.page_charts import specs
from traitdrift.report.pictures import (
    COURSE,
    DATA,
    DRAWS,
    PICTURES,
    VEGA_LITE,
    png,
    template,
    write_templates,
)


def drawn(spec: dict, rows: list[dict]) -> str:
    """A picture of these rows as SVG, whose marks tell what they stand for."""
    return vl_convert.vegalite_to_svg(spec | {"data": {"values": rows}}, vl_version=VEGA_LITE)


def titles(svg: str) -> list[str]:
    return re.findall(r"Title text '([^']*)'", svg)


def interventions() -> list[dict]:
    """An ablation, doing nothing, two coefficients of which one broke the model."""
    change = dict.fromkeys(
        (f"log_probability_difference_{b}" for b in ("value", "low", "high")), -1
    )
    row = {"variant": "v", "outcome": "code", "rate": 0.5, "low": 0, "high": 1} | change
    return [
        row | {"condition": c, "kind": k, "vector": v, "coefficient": x, "finite": f}
        for c, k, v, x, f in (
            ("nothing", "none", None, 0.0, True),
            ("ablated", "ablate", "trait", None, True),
            ("broken", "add", "trait", 8.0, False),
            ("against", "add", "trait", -1.0, True),
        )
    ]


def test_the_committed_templates_are_what_the_code_draws(tmp_path):
    assert write_templates(tmp_path) == list(PICTURES) and write_templates(tmp_path) == []
    for name in PICTURES:
        committed = (ROOT / f".dvc/plots/{name}.json").read_text(encoding="utf-8")
        assert committed == (tmp_path / f"{name}.json").read_text(encoding="utf-8"), (
            "run `python -m traitdrift templates`"
        )
        assert committed.count(DATA) == 1
    assert {path.stem for path in (ROOT / ".dvc/plots").iterdir()} == set(PICTURES)


def test_dvc_shows_every_picture_both_ways():
    listed = YAML(typ="safe").load(ROOT / "dvc.yaml")["plots"]
    tables = {
        path: how["template"]
        for one in listed
        if isinstance(one, dict)
        for path, how in one.items()
    }
    assert tables == {f"plots/figures/{name}.csv": name for name in PICTURES}
    images = {one for one in listed if isinstance(one, str)}
    assert images == {f"plots/figures/{name}.png" for name in PICTURES}


@pytest.mark.parametrize("name", PICTURES)
def test_two_revisions_have_panels_of_their_own(name: str):
    """Drawn of the committed table as DVC gives it: every value a text, `rev` beside it."""
    with (ROOT / f"plots/figures/{name}.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    picture = PICTURES[name]
    spec = template(picture)
    both = drawn(spec, [row | {"rev": rev} for row in table for rev in ("HEAD", "workspace")])
    assert "HEAD" in both and "workspace" in both
    assert both.count("aria-roledescription") > drawn(spec, table).count("aria-roledescription")


def test_the_same_table_gives_the_same_bytes():
    table = pandas.DataFrame({"variant": "v", "step": [1, 2], "loss": [1.5, 1.0]})
    once = png(PICTURES["loss"], table)
    assert once.startswith(b"\x89PNG") and png(PICTURES["loss"], table) == once


def test_what_was_not_finite_is_no_point_and_nothing_is_a_point_of_either_line():
    svg = drawn(template(PICTURES["steer"]), interventions())
    points = re.findall(r'aria-label="(\w+)"[^>]*aria-roledescription="point"', svg)
    assert sorted(points) == sorted(["nothing", "nothing", "ablated", "against"] * 2)
    assert "8" not in re.findall(r">([^<>]+)</text>", svg)
    assert titles(svg).count("v") == 1  # rates and costs, one below the other, share it


def test_a_position_that_a_trait_does_not_have_has_no_cells():
    rows = [
        {"trait": t, "position": p, "method": "probe", "layer": layer, "auroc": 0.9}
        | {"cv_auroc": 0.9, "cohens_d": 1}
        for t, p in (
            ("asked", "prompt_last"),
            ("asked", "response_mean"),
            ("said", "response_mean"),
        )
        for layer in range(2)
    ]
    chosen = {
        "asked": {"position": "prompt_last", "method": "probe", "layer": 1},
        "said": {"position": "response_mean", "method": "probe", "layer": 0},
    }
    table = marked(pandas.DataFrame(rows), chosen)
    assert list(table["chosen"]) == [0, 1, 0, 0, 1, 0]
    svg = drawn(template(PICTURES["auroc"]), table.to_dict("records"))
    assert svg.count('aria-roledescription="rect mark"') == 6 + 2
    panels = {"asked", "said", "prompt_last", "response_mean"}
    assert set(titles(svg)) == {*panels, PICTURES["auroc"].title}


def test_a_panel_tells_which_vector_it_is_of():
    prompts = pandas.DataFrame({"trait": ["t"], "class": "positive", "projection": 1.0, "layer": 3})
    chosen = {"t": {"position": "prompt_last", "method": "probe", "layer": 7}}
    table = with_vectors(prompts, chosen)
    assert table.iloc[0][["position", "method", "layer"]].tolist() == ["prompt_last", "probe", 3]
    assert with_vectors(prompts[:0], {}).empty


def test_a_course_marks_the_onsets_that_there_are():
    """Two traits, of which one moved; a loss, whose onset has no interval."""
    began = {"onset_value": 4.0, "half": 0.5}
    bounded = {**began, "onset_low": 3.0, "onset_high": 5.0}
    curves = [
        ({"figure": "loss"}, began),
        ({"figure": "shift", "trait": "moved", "class": "positive"}, bounded),
        ({"figure": "shift", "trait": "still", "class": "positive"}, {}),
        ({"figure": "answers", "outcome": "code"}, bounded),
    ]
    rows = [
        {"variant": "v", "step": step, "value": step / 8, "share": step / 8, **of, **marks}
        for of, marks in curves
        for step, marks in ((0, {}), (8, marks))
    ]
    table = pandas.DataFrame(rows)
    text = list(csv.DictReader(io.StringIO(csv_text(table), newline="")))
    svg = drawn(template(COURSE), text)
    dots = re.findall(r'aria-roledescription="point"[^>]*', svg)
    assert sum('opacity="0"' not in dot for dot in dots) == 3
    bars = re.findall(r'aria-roledescription="rule mark"[^>]*', svg)
    assert sum(float(re.search(r' x2="([^"]*)"', bar)[1]) > 0 for bar in bars) == 2
    assert titles(svg).count("v") == 1 and "moved" in svg and "still" in svg
    assert png(COURSE, table) == png(COURSE, table)


def test_a_recipe_of_one_draw_has_no_bar_for_a_new_one():
    """Two recipes, of which one has two draws; a shift in units of the gap, and a rate."""
    several = {"recipe": "bad", "mean": 2.0, "new_low": 1.0, "new_high": 3.0}
    drawn_of = [("bad", several), ("bad_1", several), ("plain", {"recipe": "plain", "mean": 0.0})]
    kinds = [
        {"kind": "shift", "name": "code", "class": "positive", "gap": 4.0},
        {"kind": "rate", "name": "prose", "class": "answers"},
    ]
    rows = [{**kind, **of, "draw": draw, "value": 2.0} for draw, of in drawn_of for kind in kinds]
    table = pandas.DataFrame(rows)
    text = list(csv.DictReader(io.StringIO(csv_text(table), newline="")))
    svg = drawn(template(DRAWS), text)
    assert svg.count('aria-roledescription="circle"') == 2 * 3
    bars = re.findall(r'aria-roledescription="rule mark"[^>]*', svg)
    lengths = [float(re.search(r' x2="([^"]*)"', bar)[1]) for bar in bars]
    assert sorted(map(bool, lengths)) == [False] * 2 + [True] * 4  # of plain's none is seen
    assert "50%" in svg and "code, positive" in svg and "prose" in svg
    assert png(DRAWS, table) == png(DRAWS, table)


def test_the_pages_charts_ask_for_the_pages_controls():
    for name, spec in specs(methods=2, others=1, drawn={"shift": 4}).items():
        asked = {parameter["name"] for parameter in spec["params"]}
        used = set(re.findall(r"== (\w+)", json.dumps(spec["transform"][: len(asked)])))
        assert used <= asked, name
        assert "$schema" not in spec and "config" not in spec
