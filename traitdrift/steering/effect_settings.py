"""Settings of the effects, apart from those of the interventions, which need none of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traitdrift.core.config import Section, Seed, Share


class SteerEffects(Section):
    resamples: Annotated[int, Field(ge=100)]
    confidence: Share
    seed: Seed
