"""A judge behind an OpenAI-compatible endpoint (chat completions)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from traitdrift.endpoint.client import ask_all
from traitdrift.judge.protocol import Judgement, read_text, read_tokens
from traitdrift.judge.settings import EndpointJudgeSettings

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion


# Of the judge's distribution; the most that the protocol lets one ask for.
TOP = 20
# Room for a number or a word, where the reply's text is read.
REPLY_TOKENS = 16


class EndpointJudge:
    """Asks several prompts at once."""

    def __init__(self, settings: EndpointJudgeSettings):
        self.settings = settings
        self.identity = {
            "backend": "endpoint",
            "url": settings.url,
            "model": settings.model,
            "scores": settings.scores,
        }

    def render(self, prompt: str) -> str:
        """The prompt itself, a user's message: the endpoint has the chat template."""
        return prompt

    def ask(self, rendered: Sequence[str]) -> Iterator[tuple[int, Judgement]]:
        """Judge texts, each named by its index, as the answers come; errors as of `ask_all`."""
        return ask_all(self.settings, self.settings.model, rendered, self._judge)

    def _judge(self, client: OpenAI, text: str) -> Judgement:
        options: dict[str, Any] = {"max_tokens": REPLY_TOKENS}
        if self.settings.scores == "logprobs":
            options = {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP}
        reply = client.chat.completions.create(
            model=self.settings.model,
            messages=[{"role": "user", "content": text}],
            temperature=0,
            **options,
        )
        if self.settings.scores == "text":
            content = reply.choices[0].message.content
            return read_text(content if isinstance(content, str) else "")
        return read_tokens(top_tokens(reply))


def top_tokens(reply: ChatCompletion) -> list[tuple[str, float]]:
    """The likeliest tokens of a reply's first position, with their probabilities.

    A reply without a position, which some endpoints send when they filter it, has no token.
    Raises ValueError where the endpoint gives no log-probabilities.
    """
    choice: Any = reply.choices[0]  # the client does not check what a body holds
    try:
        positions = choice.logprobs.content
        if len(positions) == 0:
            return []
        tokens = [(one.token, math.exp(one.logprob)) for one in positions[0].top_logprobs]
    except (AttributeError, TypeError):
        tokens = []
    if not tokens:
        raise ValueError(
            "the endpoint returns no log-probabilities; choose another, or set judge.scores to "
            "text, which reads the number that the judge says"
        )
    return tokens
