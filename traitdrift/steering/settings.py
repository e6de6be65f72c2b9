"""Settings of the interventions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from traitdrift.core.config import Count, Id, MethodName, Position, Samples, Section, Seed


class Steer(Section):
    trait: Id
    position: Position
    method: MethodName
    layer: Annotated[int, Field(ge=0)] | None
    coefficients: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
    positions: Literal["all", "answer"]
    samples: Samples
    max_tokens: Count
    seed: Seed

    @model_validator(mode="after")
    def coefficients_differ(self) -> Steer:
        for coefficient in self.coefficients:
            if not coefficient or self.coefficients.count(coefficient) > 1:
                raise ValueError(
                    f"steer.coefficients: {coefficient}: each stands once, and 0 is always measured"
                )
        return self
