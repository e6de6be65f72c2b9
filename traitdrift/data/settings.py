"""Settings of what comes in as text: synthetic pairs, data sets, their split, trait prompts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from traitdrift.core.config import Count, Section, Seed, Share


class Synthesize(Section):
    rows: Count
    seed: Seed


class Dataset(Section):
    file: str
    render: Literal["clean", "published"]


class Split(Section):
    held_out: Share
    seed: Seed


class Prompts(Section):
    train: Annotated[int, Field(ge=2)]
    validation: Annotated[int, Field(ge=2)]
    length_tolerance: Share
