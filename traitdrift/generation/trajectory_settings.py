"""Settings of the trajectories: how often each kept adapter is asked."""

from __future__ import annotations

from traitdrift.core.config import Samples, Section


class Trajectory(Section):
    samples: Samples
