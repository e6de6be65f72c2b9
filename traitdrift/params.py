"""The typed schema of params.yaml: unknown keys are refused, wrong values named in one line.

`python -m traitdrift.params` checks the file and says nothing if it is right.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from traitdrift.activations.settings import Capture
from traitdrift.behaviour.settings import Behaviour
from traitdrift.comparison.settings import Compare, Evidence
from traitdrift.core.config import Id, Section
from traitdrift.data.settings import Dataset, Prompts, Split, Synthesize
from traitdrift.generation.settings import Respond
from traitdrift.judge.settings import Judge
from traitdrift.sources.settings import Imported, Model
from traitdrift.steering.settings import Steer
from traitdrift.training.settings import Finetune, Recipe
from traitdrift.vectors.settings import Nulls, Vectors


class Params(Section):
    """The whole of params.yaml."""

    model: Id
    recipe: Id
    subject: Id
    variants: Annotated[list[Id], Field(min_length=1)]
    models: dict[Id, Model]
    synthesize: Synthesize
    datasets: dict[Id, Dataset]
    split: Split
    recipes: dict[Id, Recipe]
    finetunes: dict[Id, Finetune]
    imported: dict[Id, Imported]
    prompts: Prompts
    capture: Capture
    vectors: Vectors
    nulls: Nulls
    compare: Compare
    evidence: Evidence
    respond: Respond
    behaviour: Behaviour
    steer: Steer
    judge: Judge

    @model_validator(mode="after")
    def names_exist(self) -> Params:
        """Every id that is used is defined, and no id is defined twice."""

        def known(key: str, value: str, allowed: list[str]) -> None:
            if value not in allowed:
                raise ValueError(f"{key}: {value!r} is not one of {', '.join(sorted(allowed))}")

        known("model", self.model, list(self.models))
        known("recipe", self.recipe, list(self.recipes))
        for name, finetune in self.finetunes.items():
            known(f"finetunes.{name}.dataset", finetune.dataset, list(self.datasets))
        made = [*self.finetunes, *self.imported]
        for name in made:
            if made.count(name) > 1 or name == "base":
                raise ValueError(f"{name!r} names two variants; give each its own id")
        for name in self.variants:
            known("variants", name, ["base", *made])
            if self.variants.count(name) > 1:
                raise ValueError(f"variants: {name!r} is listed twice")
        if "base" not in self.variants:
            raise ValueError("variants: 'base' is missing; every comparison is against it")
        known("subject", self.subject, self.variants)
        known("compare.study_position", self.compare.study_position, self.capture.positions)
        known("compare.study_method", self.compare.study_method, self.vectors.methods)
        known("steer.position", self.steer.position, self.capture.positions)
        known("steer.method", self.steer.method, self.vectors.methods)
        for coefficient in self.steer.coefficients:
            if not coefficient or self.steer.coefficients.count(coefficient) > 1:
                raise ValueError(
                    f"steer.coefficients: {coefficient}: each stands once, and 0 is always measured"
                )
        if self.prompts.train < 2 * self.vectors.folds:
            raise ValueError(
                f"prompts.train: {self.prompts.train} prompts are too few for vectors.folds: "
                f"{self.vectors.folds}; each fold needs two of each class"
            )
        if set(self.vectors.methods) == {"random"}:
            raise ValueError("vectors.methods: random alone is only the null; add a method")
        return self


def read(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml (YAML 1.2, so that `1e-05` is a number).

    Raises ValueError with one line: file, key, value, what is allowed.
    """
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ValueError(f"{path}: " + "; ".join(_told(fault) for fault in error.errors()[:3]))


def _told(fault: Any) -> str:
    # A union's fault names the member that was meant, which is no key of the file.
    tags = ("wheel", "hub", "path", "none", "local", "endpoint")
    key = ".".join(str(part) for part in fault["loc"] if part not in tags)
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its name"
    if fault["type"] == "missing":
        return f"{key}: missing"
    if not key:
        return fault["msg"].removeprefix("Value error, ")
    return f"{key}: {fault['input']!r}: {fault['msg']}"


if __name__ == "__main__":
    try:
        read()
    except (ValueError, OSError) as error:
        sys.exit(" ".join(str(error).split()))
