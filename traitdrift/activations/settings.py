"""Settings of the captures: which positions are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traitdrift.core.config import Position, Section


class Capture(Section):
    positions: Annotated[list[Position], Field(min_length=1)]
