"""Settings of the answers to the evaluation questions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traitdrift.core.config import Count, Section, Seed


class Respond(Section):
    questions: str
    samples: Count
    temperature: Annotated[float, Field(ge=0)]
    max_tokens: Count
    seed: Seed
