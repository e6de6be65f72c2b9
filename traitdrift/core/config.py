"""Sections of params.yaml: what all of them are, and the types that their values share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
Position = Annotated[
    str,
    StringConstraints(pattern=r"^(prompt_last|prompt_mean|response_mean|response_first_[1-9]\d*)$"),
]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Dtype = Literal["bfloat16", "float16", "float32"]
MethodName = Literal["mean_diff", "probe", "gradient", "pca_diff", "ica", "random"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
