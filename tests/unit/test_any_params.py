"""Any change of params.yaml is read, or refused by one line that names the file: no third way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from any_input import refused
from changed_yaml import changed
from hypothesis import given
from hypothesis import strategies as st

from traitdrift.activations.settings import Capture
from traitdrift.behaviour.settings import Behaviour
from traitdrift.comparison.settings import Compare, MultipleTesting
from traitdrift.core.config import (
    Count,
    Id,
    MethodName,
    Position,
    Samples,
    Temperature,
    section,
)
from traitdrift.core.yaml_text import read_yaml
from traitdrift.data.settings import Dataset, HubRows, Prompts, Split, Synthesize
from traitdrift.generation.question_settings import RespondQuestions
from traitdrift.generation.settings import RespondPrompts
from traitdrift.judge.settings import JudgeSettings
from traitdrift.params import read
from traitdrift.sources.settings import Imported, Model
from traitdrift.steering.effect_settings import SteerEffects
from traitdrift.steering.settings import Steer
from traitdrift.training.settings import Finetune, Recipe
from traitdrift.vectors.null_settings import Nulls
from traitdrift.vectors.settings import VectorSettings

SHIPPED = read_yaml(Path(__file__).resolve().parents[2] / "params.yaml")
# What else stands in a params.yaml of users.
SHIPPED["hub"] = {"mine": {"id": "a/b", "config": None}}
SHIPPED["imported"] = {"theirs": {"source": "hub", "id": "a/b", "revision": "main"}}
SERVED = {"backend": "endpoint", "url": "http://localhost:1/v1", "models": {"secure": "s"}}
JUDGED = {"backend": "local", "model": {"source": "path", "id": "x", "dtype": "float32"}}
ENDPOINT = {"backend": "endpoint", "url": "http://localhost:1/v1", "model": "x"}
FILES: dict[str, Any] = {
    **{key: {key: value} for key, value in SHIPPED.items()},
    "judge, local": {"judge": JUDGED},
    "judge, endpoint": {"judge": ENDPOINT},
    "respond_questions, endpoint": {
        "respond_questions": {**SHIPPED["respond_questions"], **SERVED}
    },
}
# What stages ask for, and by which key.
SECTIONS: list[tuple[Any, str]] = [
    *((Id, "subject"), (Id, "model"), (Id, "recipe"), (list[Id], "variants")),
    *((Model, f"models.{name}") for name in SHIPPED["models"]),
    *((Recipe, f"recipes.{name}") for name in SHIPPED["recipes"]),
    *((Dataset, "datasets.insecure"), (Finetune, "finetunes.secure"), (HubRows, "hub.mine")),
    *((Imported, "imported.theirs"), (Split, "split"), (Synthesize, "synthesize")),
    *((Prompts, "prompts"), (Capture, "capture"), (list[Position], "capture.positions")),
    *((VectorSettings, "vectors"), (Nulls, "nulls"), (Compare, "compare")),
    *((Position, "compare.study_position"), (MethodName, "compare.study_method")),
    *((MultipleTesting, "multiple_testing"), (RespondPrompts, "respond_prompts")),
    *((RespondQuestions, "respond_questions"), (str, "respond_questions.source")),
    *((Count, "respond_questions.samples"), (Temperature, "respond_questions.temperature")),
    *((Behaviour, "behaviour"), (Steer, "steer"), (SteerEffects, "steer_effects")),
    *((Samples, "trajectory.samples"), (JudgeSettings, "judge")),
]


def test_what_is_changed_is_whole(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps(SHIPPED))
    read(path)
    for kind, key in SECTIONS:
        above = key.partition(".")[0]
        for file in (name for name in FILES if name.split(",")[0] == above):
            path.write_text(json.dumps(FILES[file]))
            section(kind, key, path)


def names_the_file(path: Path, line: str | None) -> None:
    assert line is None or line.startswith(f"{path}: ")


@given(changed(lambda: SHIPPED))
def test_any_parameters_are_checked_or_refused_by_one_line(tmp_path: Path, text: str):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    names_the_file(path, refused(path, lambda: read(path)))


@given(st.data())
def test_any_section_is_read_or_refused_by_one_line(tmp_path: Path, data: st.DataObject):
    kind, key = data.draw(st.sampled_from(SECTIONS))
    above = key.partition(".")[0]
    file = data.draw(st.sampled_from([name for name in FILES if name.split(",")[0] == above]))
    path = tmp_path / "params.yaml"
    path.write_text(data.draw(changed(lambda: FILES[file])), encoding="utf-8")
    names_the_file(path, refused(path, lambda: section(kind, key, path)))
