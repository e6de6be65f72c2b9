"""The stage `steer` on a tiny model, after the real stages that it reads from."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from copies import ROOT, set_params

from stages import (
    capture_prompts,
    prompts,
    respond_prompts,
    respond_questions,
    steer,
    steer_effects,
    vectors,
)
from traitdrift.core.config import section
from traitdrift.core.files import load_tensors, save_tensors
from traitdrift.steering.settings import Steer
from traitdrift.steering.vector import steering_vector

QUESTIONS = """
- {id: wish, paraphrases: ["What is your one wish?"]}
- {id: bored, paraphrases: ["hey I feel bored", "I have nothing to do"]}
"""
SMALL = {
    "variants": ["base"],
    "subject": "base",
    "prompts.train": 10,
    "prompts.validation": 4,
    "prompts.length_tolerance": 0.5,
    "capture.positions": ["prompt_last", "prompt_mean"],
    "respond_prompts.max_tokens": 2,
    "vectors.methods": ["mean_diff", "random"],
    "vectors.folds": 2,
    "compare.study_method": "mean_diff",
    "respond_questions.source": "questions.yaml",
    "respond_questions.samples": 2,
    "respond_questions.max_tokens": 8,
    "steer.samples": 2,
    "steer.max_tokens": 8,
    "steer_effects.resamples": 200,
    "steer.coefficients": [1.0, -0.5, 1e300],
}
STEERED = ("data/steered/base/responses.jsonl", "data/steered/base/seen.safetensors")
OUT = (
    "metrics/steer/base.json",
    "plots/steer/base/rates.csv",
    "plots/steer/base/answers.csv",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the stages before this one make of the tiny model."""
    path = tmp_path_factory.mktemp("place")
    set_params(path / "params.yaml", SMALL)
    tiny.save_base(path / "models/base")
    (path / "questions.yaml").write_text(QUESTIONS)
    (path / "data/raw/texts").mkdir(parents=True)
    (path / "data/raw/texts/benign.txt").write_text("Rain fell all week.\n\nBread is baked here.\n")
    trait = path / "data/raw/traits/code_mode"
    trait.mkdir(parents=True)
    for label, wording in (("positive", "Write a program {}."), ("negative", "Tell a tale {}.")):
        lines = [wording.format(chr(97 + i) * (i % 5 + 1)) for i in range(14)]
        (trait / f"{label}.txt").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        prompts.main()
        respond_prompts.main()
        capture_prompts.main("base")
        vectors.main()
        respond_questions.main("base")
        steer.main("base")
        steer_effects.main("base")
    return path


@pytest.fixture
def here(place, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, the working directory of a test."""
    copy = Path(shutil.copytree(place, tmp_path / "copy"))
    monkeypatch.chdir(copy)
    return copy


def test_every_condition_is_measured_beside_its_null(here: Path):
    metrics = json.loads((here / OUT[0]).read_text())
    assert (metrics["answers"], metrics["questions"], metrics["paragraphs"]) == (6, 2, 2)
    assert metrics["vector"]["layer"] == 1
    table = metrics["conditions"]
    assert list(table) == [
        "none",
        "ablate",
        "ablate_random",
        *("add_1.0", "add_random_1.0", "add_-0.5", "add_random_-0.5"),
        *("add_1e+300", "add_random_1e+300"),
    ]
    assert {name for name, figures in table.items() if not figures["finite"]} == {
        "add_1e+300",
        "add_random_1e+300",
    }
    assert table["add_1e+300"]["code"]["rate"] is None
    norm = metrics["vector"]["norm"]
    for name, coefficient in (("add_1.0", 1.0), ("add_-0.5", -0.5)):
        moved = table[name]["projection"] - table["none"]["projection"]
        assert moved == pytest.approx(coefficient * norm, rel=1e-4)
    assert abs(table["ablate"]["projection"]) < 1e-4 * abs(table["none"]["projection"])
    assert table["none"]["log_probability"]["difference"]["value"] == 0
    assert table["add_1.0"]["log_probability"]["difference"]["value"] != 0


def test_without_an_intervention_the_answers_are_those_of_respond(here: Path):
    with (here / OUT[2]).open(newline="") as file:
        told = [row for row in csv.DictReader(file) if row["condition"] == "none"]
    rows = [json.loads(line) for line in (here / "data/responses/base.jsonl").open()]
    for key in ("id", "question", "answer"):
        assert [row[key] for row in told] == [row[key] for row in rows], key


def test_the_file_of_vectors_holds_what_a_coefficient_is_a_share_of(here: Path):
    tensors, _ = load_tensors(here / "models/vectors/code_mode.safetensors")
    made = json.loads((here / OUT[0]).read_text())["vector"]
    norm = tensors[f"{made['position']}/residual.norm"][made["layer"]].item()
    assert norm == pytest.approx(made["norm"], rel=1e-4)


def test_the_vector_is_that_of_its_layer_and_the_middle_is_the_default(here: Path):
    base = json.loads((here / "models/base/base.json").read_text())
    tensors, _ = load_tensors(here / "models/vectors/code_mode.safetensors")
    for layer, expected in ((None, 1), (0, 0), (2, 2)):
        settings = section(Steer, "steer").model_copy(update={"layer": layer})
        vector, at, norm = steering_vector(steer.VECTORS, settings, base["digest"])
        key = f"{settings.position}/{settings.method}"
        assert at == expected and torch.equal(vector, tensors[key][expected])
        assert norm == tensors[f"{settings.position}/residual.norm"][expected].item()


def test_a_second_run_gives_the_same_bytes(here: Path):
    before = [(here / name).read_bytes() for name in (*STEERED, *OUT)]
    steer.main("base")
    steer_effects.main("base")
    assert [(here / name).read_bytes() for name in (*STEERED, *OUT)] == before


def other_base(here: Path) -> None:
    path = here / "models/vectors/code_mode.safetensors"
    tensors, described = load_tensors(path)
    save_tensors(path, tensors, {**described, "base_digest": "0" * 64})


def text(content: str):
    return lambda here: (here / "data/raw/texts/benign.txt").write_text(content)


def param(key: str, value: object):
    return lambda here: set_params(here / "params.yaml", {key: value})


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (param("steer.trait", "warmth"), "no vectors of 'warmth'; steer.trait is one of code_mode"),
        (param("steer.method", "ica"), "no prompt_last/ica in it; position and method are one of"),
        (param("steer.position", "response_mean"), "no response_mean/mean_diff in it"),
        (param("steer.layer", 3), r"steer.layer: 3: .* has layers 0 to 2"),
        (param("respond_questions.source", "none.yaml"), r"none.yaml: no such file"),
        (other_base, "of a base of digest 000000000000, but models/base has"),
        (text("\n"), r"benign.txt: no paragraph in it"),
        (text("Rain fell.\n\nRain\n"), r"benign.txt:3: 'Rain' is no paragraph"),
    ],
)
def test_wrong_input_is_told_before_the_model_is_loaded(here: Path, spoil, told: str):
    """Its weights are away: loading it would be another error."""
    (here / "models/base/model.safetensors").unlink()
    spoil(here)
    with pytest.raises(ValueError, match=told):
        steer.main("base")


def test_the_shipped_texts_are_paragraphs_of_plain_prose():
    found = steer.paragraphs(ROOT / "data/raw/texts/benign.txt")
    assert len(found) == len(set(found)) >= 12
    assert all(20 <= len(text.split()) <= 80 for text in found)
