"""Settings of what comes in as text: synthetic pairs, data sets, their split, trait prompts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from traitdrift.core.config import MOST, Count, HubId, PathText, Revision, Section, Seed, Share


class Synthesize(Section):
    rows: Count
    seed: Seed


class HubRows(Section):
    """One split of a data set on the Hugging Face hub."""

    id: HubId
    config: str | None = None
    revision: Revision = "main"
    split: str = "train"


class Dataset(Section):
    """A file of conversations; `rows` and `roles` are what it must hold, where that is known.

    `prose` says that no answer holds code.
    """

    file: PathText
    render: Literal["clean", "published"]
    rows: Count | None = None
    roles: Annotated[list[Literal["system", "user", "assistant"]], Field(min_length=1)] | None = (
        None
    )
    prose: bool = False


class Split(Section):
    held_out: Share
    seed: Seed


class Prompts(Section):
    train: Annotated[int, Field(ge=2, le=MOST)]
    validation: Annotated[int, Field(ge=2, le=MOST)]
    length_tolerance: Share
