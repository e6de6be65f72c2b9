"""Settings of the judge: none, a model here, or an endpoint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from traitdrift.core.config import Draws, Section, Seed, Share
from traitdrift.endpoint.settings import EndpointSettings
from traitdrift.sources.settings import HubModel, PathModel


class NoJudge(Section):
    """Nobody is asked what the answers are worth."""

    backend: Literal["none"]


class RateSettings(Section):
    """What every judge has: the bootstrap of its rates."""

    resamples: Draws = 10_000
    confidence: Share = 0.95
    seed: Seed = 0


class LocalJudgeSettings(RateSettings):
    """A Hugging Face model in this process."""

    backend: Literal["local"]
    model: Annotated[HubModel | PathModel, Field(discriminator="source")]


class EndpointJudgeSettings(EndpointSettings, RateSettings):
    """An OpenAI-compatible endpoint; its key is OPENAI_API_KEY of the environment."""

    backend: Literal["endpoint"]
    model: str
    scores: Literal["logprobs", "text"] = "logprobs"


JudgeSettings = Annotated[
    NoJudge | LocalJudgeSettings | EndpointJudgeSettings, Field(discriminator="backend")
]
