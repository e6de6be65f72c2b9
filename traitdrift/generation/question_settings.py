"""Settings of the responses to evaluation questions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from traitdrift.core.config import Count, Id, PathText, Samples, Section, Seed, Temperature
from traitdrift.endpoint.settings import Connections, EndpointSettings, Seconds


class Asked(Section):
    """What is asked, and how answers are sampled, whoever answers."""

    source: PathText
    samples: Samples
    temperature: Temperature
    max_tokens: Count
    seed: Seed


class LocalRespondents(Asked):
    """Base and adapters in this process."""

    backend: Literal["local"]


class ServedRespondents(EndpointSettings, Asked):
    """An OpenAI-compatible server that has every variant under a name."""

    backend: Literal["endpoint"]
    models: dict[Id, str] = Field(default={})  # by variant; others are served by their own id
    concurrency: Connections = 32
    timeout: Seconds = 600.0

    def name(self, variant: str) -> str:
        """The name by which the server has a variant."""
        return self.models.get(variant, variant)

    def described(self, variant: str) -> dict[str, Any]:
        """The server as its answers name it, with what is given up by asking one."""
        return {
            "url": self.url,
            "model": self.name(variant),
            "weights": "not checked",
            "bytes": "may differ when asked again",
            "ids": "of the answer's text, by base's tokenizer",
        }


RespondQuestions = Annotated[LocalRespondents | ServedRespondents, Field(discriminator="backend")]
