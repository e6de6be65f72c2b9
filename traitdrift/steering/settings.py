"""Settings of the interventions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from traitdrift.core.config import Count, Id, MethodName, Position, Section, Seed, Share


class Steer(Section):
    trait: Id
    position: Position
    method: MethodName
    layer: Annotated[int, Field(ge=0)] | None
    coefficients: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
    positions: Literal["all", "answer"]
    samples: Count
    max_tokens: Count
    resamples: Annotated[int, Field(ge=100)]
    confidence: Share
    seed: Seed
