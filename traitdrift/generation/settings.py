"""Settings of the responses to trait prompts."""

from __future__ import annotations

from traitdrift.core.config import Count, Section


class RespondPrompts(Section):
    max_tokens: Count
