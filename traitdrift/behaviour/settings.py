"""Settings of the outcome rates."""

from __future__ import annotations

from traitdrift.core.config import Section, Share


class Behaviour(Section):
    confidence: Share
