"""Settings of the nulls, apart from those of the extraction, which needs none of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traitdrift.core.config import Section, Seed


class Nulls(Section):
    count: Annotated[int, Field(ge=20, le=1_000_000)]
    seed: Seed
