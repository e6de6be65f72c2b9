"""Settings of an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from traitdrift.core.config import Count, Section


class EndpointSettings(Section):
    """Where it is and how it is asked; its key is OPENAI_API_KEY of the environment."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/@\s]+(/[^@\s]*)?$")]
    concurrency: Count = 8
    timeout: Annotated[float, Field(gt=0)] = 60.0  # seconds a request may take
    retries: Annotated[int, Field(ge=0)] = 5
