"""Settings of the comparisons: the study's choice, resamples, permutations, the family's alpha."""

from __future__ import annotations

from traitdrift.core.config import Draws, MethodName, Position, Section, Seed, Share


class Compare(Section):
    study_method: MethodName
    study_position: Position
    resamples: Draws
    permutations: Draws
    confidence: Share
    seed: Seed


class MultipleTesting(Section):
    alpha: Share
