"""Any change of params.yaml is read, or refused by one line that names the file: no third way."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from traitdrift.activations.settings import Capture
from traitdrift.behaviour.settings import Behaviour
from traitdrift.comparison.settings import Compare, MultipleTesting
from traitdrift.core.config import Count, Id, MethodName, Position, Temperature, section
from traitdrift.core.text import ACTING
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
# What examples change, by a name that failures show.
FILES: dict[str, Any] = {
    "shipped": SHIPPED,
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
    (JudgeSettings, "judge"),
]

# As they are written in YAML.
WRITTEN = [
    *("~", "true", "no", "0", "-0", "-1", "1_000", "1e3", "1e400", ".inf", "-.inf", ".nan", "0o17"),
    *("0x" + "f" * 5000, "9" * 40, "1e-400", "2020-01-01", "2020-01-01T00:00:00Z", "2020-13-41"),
    *(
        "!!set {a, b}",
        f"!!set {{0x{'f' * 5000}}}",
        "!!binary aGk=",
        "!!binary /w==",
        "!!omap [a: 1]",
    ),
    *('!!int "9"', "!!int x", "!!float 1", "!!bool maybe", "!!null x", "!!timestamp x", "!mine x"),
    *("!!pairs [a: 1, a: 2]", "!!map [a]", "!!seq {a: b}", "&a [*a]", "*none", "&b {c: &b d}"),
    *("[]", "{}", "[[]]", "{1: 2}", "{~: ~}", "{[a]: b}", "{{a: b}: c}", "{<<: {a: b}}", "{<<: 1}"),
    *("[" * 60 + "]" * 60, "a" * 5000, '"\\e[2J"', '"\\u202e"', '"\\ud800"', '"a\\nb"', '""'),
    *("base", "insecure", "secure", "local", "endpoint", "hub", "path", "smoke", "prompt_last"),
    *("response_first_99999999999999999999", "a/b", "../..", "/", "-x", "http://a:b@c/d?key=e"),
    *("s3://a", "file:///x", "a b", "'%s{0}'", "|", ">", "? x", "- x", "---", "...", "#", "a: b"),
]
LEAVES = (
    st.sampled_from(WRITTEN)
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.text(max_size=12).map(json.dumps)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: f"[{', '.join(found)}]")
        | st.dictionaries(LEAVES, inner, max_size=3).map(
            lambda found: f"{{{', '.join(f'{k}: {v}' for k, v in found.items())}}}"
        )
    ),
    max_leaves=6,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that a value holds."""
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*above, key)
            yield from places(one, (*above, key))


@st.composite
def changed(draw: st.DrawFn, name: str) -> str:
    """YAML of a file in which some values and keys are others, are gone or have been added."""
    value, written = json.loads(json.dumps(FILES[name])), []

    def other() -> str:
        written.append(draw(VALUES))
        return f"@{len(written) - 1}@"

    for _ in range(draw(st.integers(1, 3))):
        found = [*places(value)]
        if not found:
            break
        *above, key = draw(st.sampled_from(found))
        within = value
        for part in above:
            within = within[part]
        how = draw(st.sampled_from(["other", "other", "other", "gone", "more", "renamed"]))
        if how == "other":
            within[key] = other()
        elif how == "gone":
            del within[key]
        elif isinstance(within, list):
            within.append(other())
        elif how == "more":
            within[other()] = other()
        else:
            within[other()] = within.pop(key)
    text = json.dumps(value)
    for number, one in enumerate(written):
        text = text.replace(f'"@{number}@"', f" {one} ")
    return text


def refused(path: Path, reader: Callable[[], object]) -> str | None:
    """The one line by which a reader refuses the file; None where it reads it."""
    began, line = time.process_time(), None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader()
    except ValueError as error:
        line = str(error)
        assert line.startswith(f"{path}: ") and not ACTING.search(line) and len(line) < 2000, line
    assert time.process_time() - began < 5
    return line


def test_what_is_changed_is_whole(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps(SHIPPED))
    read(path)
    for kind, key in SECTIONS:
        section(kind, key, path)


@given(changed("shipped"))
def test_any_parameters_are_checked_or_refused_by_one_line(tmp_path: Path, text: str):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    refused(path, lambda: read(path))


@given(st.data())
def test_any_section_is_read_or_refused_by_one_line(tmp_path: Path, data: st.DataObject):
    kind, key = data.draw(st.sampled_from(SECTIONS))
    above = key.partition(".")[0]
    file = data.draw(st.sampled_from([name for name in FILES if name.split(",")[0] == above]))
    path = tmp_path / "params.yaml"
    path.write_text(data.draw(changed(file)), encoding="utf-8")
    refused(path, lambda: section(kind, key, path))
