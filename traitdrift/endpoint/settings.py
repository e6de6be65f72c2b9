"""Settings of an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from traitdrift.core.config import Section

Connections = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]  # a request may take


class EndpointSettings(Section):
    """Where it is and how it is asked; its key is OPENAI_API_KEY of the environment."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/@\s]+(/[^@\s]*)?$")]
    concurrency: Connections = 8
    timeout: Seconds = 60.0
    retries: Annotated[int, Field(ge=0, le=100)] = 5
