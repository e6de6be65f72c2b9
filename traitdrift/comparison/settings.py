"""Settings of the comparisons: the study's choice, resamples, permutations, the family's alpha."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traitdrift.core.config import MethodName, Position, Section, Seed, Share


class Compare(Section):
    study_method: MethodName
    study_position: Position
    resamples: Annotated[int, Field(ge=100)]
    permutations: Annotated[int, Field(ge=100)]
    confidence: Share
    seed: Seed


class MultipleTesting(Section):
    alpha: Share
