"""Settings of the effects, apart from those of the interventions, which need none of them."""

from __future__ import annotations

from traitdrift.core.config import Draws, Section, Seed, Share


class SteerEffects(Section):
    resamples: Draws
    confidence: Share
    seed: Seed
