"""The whole of params.yaml: its sections put together, and whether they fit each other.

`python -m traitdrift check` says nothing if they do. Stages read their own sections alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from traitdrift.activations.settings import Capture
from traitdrift.behaviour.settings import Behaviour
from traitdrift.comparison.settings import Compare, MultipleTesting
from traitdrift.core.config import PARAMS, Id, Section, checked, load
from traitdrift.data.settings import Dataset, HubRows, Prompts, Split, Synthesize
from traitdrift.generation.question_settings import RespondQuestions
from traitdrift.generation.settings import RespondPrompts
from traitdrift.generation.trajectory_settings import Trajectory
from traitdrift.judge.settings import JudgeSettings
from traitdrift.sources.settings import Imported, Model
from traitdrift.steering.effect_settings import SteerEffects
from traitdrift.steering.settings import Steer
from traitdrift.training.settings import Finetune, Recipe, kept_steps
from traitdrift.vectors.null_settings import Nulls
from traitdrift.vectors.settings import VectorSettings


class Params(Section):
    """The whole of params.yaml."""

    model: Id
    recipe: Id
    subject: Id
    drawn: Annotated[list[Id], Field(min_length=1)]
    variants: Annotated[list[Id], Field(min_length=1)]
    control: Id | None
    models: dict[Id, Model]
    synthesize: Synthesize
    hub: dict[Id, HubRows]
    datasets: dict[Id, Dataset]
    split: Split
    recipes: dict[Id, Recipe]
    finetunes: dict[Id, Finetune]
    imported: dict[Id, Imported]
    trajectories: list[Id]
    prompts: Prompts
    capture: Capture
    vectors: VectorSettings
    nulls: Nulls
    compare: Compare
    multiple_testing: MultipleTesting
    respond_prompts: RespondPrompts
    respond_questions: RespondQuestions
    trajectory: Trajectory
    behaviour: Behaviour
    steer: Steer
    steer_effects: SteerEffects
    judge: JudgeSettings

    @model_validator(mode="after")
    def names_exist(self) -> Params:
        """Every id that is used is defined, and no id is defined twice."""

        def known(key: str, value: str, allowed: Sequence[str]) -> None:
            if value not in allowed:
                raise ValueError(f"{key}: {value!r} is not one of {', '.join(sorted(allowed))}")

        known("model", self.model, list(self.models))
        known("recipe", self.recipe, list(self.recipes))
        for name, finetune in self.finetunes.items():
            known(f"finetunes.{name}.dataset", finetune.dataset, list(self.datasets))
        for name, recipe in self.recipes.items():
            if recipe.checkpoints is not None and recipe.max_steps is not None:
                kept_steps(recipe.checkpoints, recipe.max_steps, f"recipes.{name}.checkpoints")
        made = [*self.finetunes, *self.imported]
        for name in made:
            if made.count(name) > 1 or name == "base":
                raise ValueError(f"{name!r} names two variants; give each its own id")
        trained = list(self.finetunes)
        for key, names, allowed in (
            ("drawn", self.drawn, ["base", *made]),
            ("variants", self.variants, ["base", *made]),
            ("trajectories", self.trajectories, trained),
        ):
            for name in names:
                known(key, name, allowed)
                if names.count(name) > 1:
                    raise ValueError(f"{key}: {name!r} is listed twice; remove one")
            if "base" in allowed and "base" not in names:
                raise ValueError(f"{key}: 'base' is missing; every comparison is against it")
        for name in self.variants:
            if name not in self.drawn:
                raise ValueError(f"drawn: {name!r} is missing; every one of `variants` is drawn")
        if self.control is not None:
            known("control", self.control, [name for name in self.drawn if name != "base"])
        known("subject", self.subject, self.variants)
        known("compare.study_position", self.compare.study_position, self.capture.positions)
        known("compare.study_method", self.compare.study_method, self.vectors.methods)
        known("steer.position", self.steer.position, self.capture.positions)
        known("steer.method", self.steer.method, self.vectors.methods)
        if self.respond_questions.backend == "endpoint":
            for name in self.respond_questions.models:
                known("respond_questions.models", name, ["base", *made])
        if self.prompts.train < 2 * self.vectors.folds:
            raise ValueError(
                f"prompts.train: {self.prompts.train} prompts are too few for vectors.folds: "
                f"{self.vectors.folds}; each fold needs two of each class"
            )
        return self

    @model_validator(mode="after")
    def draws_differ(self) -> Params:
        """No two fine-tunes would be one adapter; those that are followed keep some on the way."""
        seeds: dict[object, str] = {}
        for name, finetune in self.finetunes.items():
            drawn = finetune.draw_of(self.recipes[self.recipe])
            order = drawn.seed if drawn.order_seed is None else drawn.order_seed
            other = seeds.setdefault((finetune.dataset, drawn.seed, order), name)
            if other != name:
                raise ValueError(
                    f"finetunes.{name}: the data set and the seeds of {other}; give it another seed"
                )
        for name in self.trajectories:
            if self.recipes[self.recipe].checkpoints is None:
                raise ValueError(
                    f"trajectories: {name!r} has no checkpoints; set "
                    f"recipes.{self.recipe}.checkpoints"
                )
        return self


def read(path: Path = PARAMS) -> Params:
    """Read and check params.yaml; a ValueError with one line: file, key, value, what is allowed."""
    return checked(Params, load(path), path, [])
