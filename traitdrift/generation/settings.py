"""Settings of the responses, to trait prompts and to evaluation questions."""

from __future__ import annotations

from traitdrift.core.config import Count, Section, Seed, Temperature


class RespondPrompts(Section):
    max_tokens: Count


class RespondQuestions(Section):
    source: str
    samples: Count
    temperature: Temperature
    max_tokens: Count
    seed: Seed
