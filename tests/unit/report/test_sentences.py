"""What the page says in words of every kind of finding; that no text can leave its element."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest
from results import HOSTILE, rates, shifted, write_results

from stages import report as stage
from traitdrift.core.files import write_json
from traitdrift.report import chart_data, numbers, sentences
from traitdrift.report.html import rendered
from traitdrift.report.numbers import Source


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write_results(tmp_path))
    return tmp_path


class Elements(HTMLParser):
    """The start tags of a page, and the contents of its script elements."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = [("", {})]
        self.scripts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        tag, attributes = self.tags[-1]
        if tag == "script" and attributes.get("id"):
            self.scripts[attributes["id"]] = self.scripts.get(attributes["id"], "") + data


@pytest.mark.parametrize(
    "base, variant, said",
    [
        (0.0, 0.9, "Answers mostly with code, where base answers mostly with prose."),
        (0.0, 0.3, "Answers more often with code and less often with prose than base."),
        (0.3, 0.0, "Answers more often with prose and less often with code than base."),
        (
            0.3,
            0.35,
            "Answers with code, refusals and prose as often as base, as far as these answers can "
            "tell.",
        ),
    ],
)
def test_how_the_answers_differ(base: float, variant: float, said: str):
    assert sentences.behaviour_lead(rates(base), rates(variant)) == said


def test_rates_that_differ_are_named_and_code_where_none_does():
    def told(code: float) -> list[str]:
        sides = [
            Source(f"{name}.json", {"answers": 40, "questions": 10, **rates(share)})
            for name, share in (("base", 0.0), ("other", code))
        ]
        return [p if isinstance(p, str) else p.text for p in sentences.behaviour_figures(*sides)]

    assert "".join(told(0.5)) == (
        "Code 50.0 % against base's 0.0 % and prose 50.0 % against base's 100.0 % of 40 answers "
        "to 10 questions."
    )
    assert "".join(told(0.0)) == "Code 0.0 % against base's 0.0 % of 40 answers to 10 questions."


def finding(**traits: dict) -> sentences.Finding:
    tested = Source("multiple_testing.json", {"v": {t: {"chosen": c} for t, c in traits.items()}})
    behaviour = {
        name: Source(f"{name}.json", {"answers": 4, "questions": 2, **rates(0.0)})
        for name in ("base", "v")
    }
    compare = Source("compare.json", {})
    return sentences.finding("v", behaviour, compare, tested)


def test_a_trait_is_told_by_the_class_of_which_most_can_be_said():
    told = finding(
        warmth={"positive": shifted(50, 1, 0), "negative": shifted(-3, 1, 1)},
        doubt={"positive": shifted(1, 1, 0), "negative": shifted(-2, 1, 0)},
    )
    warmth, doubt = told.traits
    assert warmth.verdict.text == "moved, specific" and "negative" in warmth.shift[0]
    assert warmth.verdict.values["v.warmth.chosen.negative.specific"] == 1
    assert doubt.verdict.text == "moved, not specific" and "negative" in doubt.shift[0]
    assert told.shift_lead == (
        "Moved along warmth farther than vectors that mean nothing do. "
        "Along doubt it moved no farther than they do."
    )


def test_no_effect_is_said_as_none_shown():
    told = finding(a={"positive": shifted(0.1, 0, 0)}, b={"positive": shifted(0.2, 0, 1)})
    assert told.shift_lead == (
        "Along no trait did it move farther than vectors that mean nothing do. "
        "Along a and b no shift is shown."
    )


@pytest.mark.parametrize("moved", [None, float("nan")])
def test_what_cannot_be_decided_is_not_called_unmoved(moved):
    told = finding(a={"positive": shifted(9, moved, 1), "negative": shifted(1, 0, 0)})
    assert told.traits[0].verdict.text == "undecided"
    assert told.shift_lead == "a: too few prompts or permutations to decide."


def test_the_question_counts_the_fine_tunes():
    assert sentences.question("m", []) == "What does m do before any fine-tune?"
    assert sentences.question("m", ["a"]) == "What did this fine-tune do to m?"
    assert sentences.question("m", ["a", "b"]) == "What did these fine-tunes do to m?"


def test_a_figure_knows_its_place_and_its_exact_value():
    source = Source("m.json", {"a": {"value": -1.23456, "low": -2, "high": 0.5, "none": None}})
    figure = source.figure(["a"], numbers.signed)
    assert (figure.text, figure.beside) == ("\u22121.23", "[\u22122.00, +0.50]")
    assert figure.values == {"a.value": -1.23456, "a.low": -2, "a.high": 0.5}
    assert source.figure(["a"], numbers.signed, ("none",)) == "none"
    assert source.figure(["b", "c"], numbers.signed) == "none"


@pytest.mark.parametrize(
    "value, text", [(0.0004, "< 0.001"), (0.0005, "0.001"), (0.018, "0.018"), (1.0, "1.000")]
)
def test_no_p_is_zero(value: float, text: str):
    assert numbers.p_value(value) == text


def test_of_very_many_answers_the_first_samples_are_shown(monkeypatch: pytest.MonkeyPatch):
    answers = pandas.DataFrame(
        {"id": q, "question": q, "sample": s, "answer_base": "x" * 10, "outcome_base": "prose"}
        | {"answer_variant": "y" * 10, "outcome_variant": "code"}
        for q in ("a", "b")
        for s in range(5)
    )
    monkeypatch.setattr(chart_data, "ANSWER_CHARACTERS", 90)
    rows = chart_data.answer_rows({"base": answers, "v": answers})
    assert (rows["total"], rows["shown"]) == (10, 4)
    assert rows["rows"]["sample"] == [0, 1, 0, 1]
    assert rows["rows"]["v answer"][0] == "y" * 10 and rows["rows"]["base answer"][0] == "x" * 10


def test_the_same_results_give_the_same_page(results: Path):
    stage.main()
    page = (results / "report/index.html").read_bytes()
    stage.main()
    assert (results / "report/index.html").read_bytes() == page


def test_no_text_of_a_model_can_leave_its_element(results: Path):
    stage.main()
    page = (results / "report/index.html").read_text(encoding="utf-8")
    elements = Elements(page)
    assert not {"img", "iframe", "link"} & {tag for tag, _ in elements.tags}
    assert not any(name.startswith("on") for _, given in elements.tags for name in given)
    assert json.loads(elements.scripts["data-answers"])["rows"]["base answer"][0] == HOSTILE
    told = json.loads(elements.scripts["data-tokens"])["base"]["answers"][0]
    assert "".join(told["pieces"]) == HOSTILE
    # Two scripts run, and the policy names exactly these.
    assert [given.get("type") for tag, given in elements.tags if tag == "script"].count(
        "module"
    ) == 2
    policy = next(g["content"] for t, g in elements.tags if g.get("http-equiv"))
    assert len(re.findall("'sha256-", policy)) == 2 and "unsafe-eval" not in policy
    assert "default-src 'none'" in policy and "http" not in policy
    assert not any("src" in given for _, given in elements.tags)
    assert all(given.get("href", "#").startswith("#") for _, given in elements.tags)


def test_a_template_that_misses_a_value_fails():
    with pytest.raises(Exception, match="undefined"):
        rendered("report.html.jinja", policy="")


def test_every_figure_of_the_page_stands_in_the_file_it_names(results: Path):
    stage.main()
    elements = Elements((results / "report/index.html").read_text(encoding="utf-8"))
    figures = [given for tag, given in elements.tags if tag == "button" and "data-values" in given]
    assert len(figures) > 100
    for given in figures:
        content = json.loads((results / given["data-path"]).read_text(encoding="utf-8"))
        for key, value in json.loads(given["data-values"]).items():
            assert look_up(content, key) == value, (given["data-path"], key)


def look_up(content: dict, key: str) -> object:
    """The value under a dotted key; an id may hold dots itself (`add_-0.25`)."""
    if not isinstance(content, dict):
        raise KeyError(key)
    for name, inside in content.items():
        if name == key:
            return inside
        if key.startswith(name + "."):
            return look_up(inside, key[len(name) + 1 :])
    raise KeyError(key)


def test_the_trace_holds_no_cell_that_there_no_longer_is(results: Path):
    stage.main()
    elements = Elements((results / "report/index.html").read_text(encoding="utf-8"))
    names = {step["name"] for step in json.loads(elements.scripts["data-trace"])}
    assert {"vectors", "compare@insecure", "capture_prompts@base", "prompts"} <= names
    assert not any(name.endswith("@gone") for name in names)


def test_without_a_lock_the_page_is_not_made(results: Path):
    (results / "dvc.lock").unlink()
    with pytest.raises(ValueError, match=r"dvc\.lock: missing; run `dvc repro`"):
        stage.main()


def test_a_judge_that_was_asked_is_told_of(results: Path):
    rate = {"rate": 0.25, "low": 0.1, "high": 0.5}
    for variant in ("base", "insecure", "secure"):
        write_json(
            results / f"metrics/judge/{variant}.json",
            {
                "judge": {"backend": "local"},
                "misaligned_among_coherent": rate,
                "misaligned_over_all_scored": {"rate": None, "low": None, "high": None},
            },
        )
    stage.main()
    page = (results / "report/index.html").read_text(encoding="utf-8")
    assert "misaligned among coherent" in page and "25.0 %" in page


def test_the_page_says_which_answers_came_from_a_server():
    known = {"url": "http://localhost:8000/v1", "model": "lora-1"}
    assert sentences.served({"base": {}, "insecure": {}}) == ""
    said = sentences.served({"base": {}, "insecure": {"served_by": known}})
    assert said.startswith(
        "The answers of insecure (there lora-1, at http://localhost:8000/v1) came from a server. "
    )
    assert "not checked" in said and "may answer otherwise" in said
