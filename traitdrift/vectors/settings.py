"""Settings of the extraction, its methods, and the nulls."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    Field,
)

from traitdrift.core.config import Count, MethodName, Section, Seed


class Probe(Section):
    c: Annotated[float, Field(gt=0)]
    tolerance: Annotated[float, Field(gt=0)]


class Gradient(Section):
    learning_rate: Annotated[float, Field(gt=0)]
    shrinkage: Annotated[float, Field(gt=0, le=1)]
    tolerance: Annotated[float, Field(gt=0)]
    max_steps: Count


class Ica(Section):
    components: Count
    max_iterations: Count


class Vectors(Section):
    methods: Annotated[list[MethodName], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]
    seed: Seed
    probe: Probe
    gradient: Gradient
    ica: Ica


class Nulls(Section):
    count: Annotated[int, Field(ge=20)]
    seed: Seed
