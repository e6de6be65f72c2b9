"""One section of params.yaml, read without the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitdrift.core.config import Count, Id, section
from traitdrift.judge.settings import JudgeSettings
from traitdrift.steering.settings import Steer
from traitdrift.training.settings import Finetune, Recipe

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "params.yaml"


def test_a_section_is_read_whatever_stands_beside_it(tmp_path: Path):
    text = SHIPPED.read_text().replace("folds: 5", "folds: many") + "\ncolour: red\n"
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert section(Recipe, "recipes.study", path).learning_rate == 1e-5
    assert section(list[Id], "variants", path) == ["base", "insecure", "secure"]
    assert section(Count, "steer.max_tokens", path) == 40


@pytest.mark.parametrize(
    ("kind", "key", "text", "told"),
    [
        (
            Count,
            "respond_questions.samples",
            "respond_questions: {samples: 0}",
            "respond_questions.samples: 0: ",
        ),
        (Recipe, "recipes.fast", "recipes: {quick: 1, study: 2}", "there are quick, study"),
        (Recipe, "recipes.fast", "recipes: {1: 1, ~: 2, [a]: 3}", "there are 1, None, ('a',)"),
        (Recipe, "recipes.fast", 'recipes: {"\\e[2J": 1}', "there are \\x1b[2J"),
        (Id, "model", "recipe: quick", "model: missing"),
        (JudgeSettings, "judge", "judge: {backend: local}", "judge.model: missing"),
        (JudgeSettings, "judge", "judge: {backend: none, url: x}", "judge.url: unknown key"),
        (
            JudgeSettings,
            "judge",
            f"judge: {{backend: {'a' * 5000}}}",
            "judge: a dict: Input tag 'aa",
        ),
        (JudgeSettings, "judge", 'judge: {backend: "\\e[2J\\n"}', "Input tag '\\x1b[2J "),
        (list[Id], "variants", "variants: [base, In-secure]", "variants.1: 'In-secure': "),
        (JudgeSettings, "judge", "judge: {backend: local, local: 1}", "judge.local: unknown key"),
        (dict[Id, Finetune], "made", "made: {local: {path: 1}}", "made.local.path: unknown key"),
        (Count, "a.b", "a: 3", "a.b: missing"),
        (Count, "a", "[", "not YAML"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, kind, key: str, text: str, told: str):
    path = tmp_path / "params.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ValueError) as caught:
        section(kind, key, path)
    assert str(caught.value).startswith(f"{path}: ") and told in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


def test_a_rule_between_keys_names_them_once(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text().replace("  - 0.25\n", "  - 0\n"))
    with pytest.raises(ValueError, match=r"yaml: steer.coefficients: 0.0: each stands once"):
        section(Steer, "steer", path)
