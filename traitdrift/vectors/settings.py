"""Settings of the extraction and its methods."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

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


class VectorSettings(Section):
    methods: Annotated[list[MethodName], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2, le=1000)]
    seed: Seed
    probe: Probe
    gradient: Gradient
    ica: Ica

    @model_validator(mode="after")
    def something_to_choose(self) -> VectorSettings:
        if set(self.methods) == {"random"}:
            raise ValueError("vectors.methods: random alone is only the null; add a method")
        return self
