"""A judge behind an OpenAI-compatible endpoint (chat completions)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from traitdrift.endpoint.client import ask_all
from traitdrift.judge.protocol import KEPT, Judgement, as_number, read_tokens, spaced
from traitdrift.judge.reading import (
    out_of_100,
    read_text,
    refuse_thought,
    scales,
    unscaled,
    without_thought,
)
from traitdrift.judge.settings import EndpointJudgeSettings

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion


# Of the judge's distribution; the most that the protocol lets one ask for.
TOP = 20
# Room for a number or a word, where the reply's text is read.
REPLY_TOKENS = 16
# Where its first token is read: enough to see whether a number goes on, or its scale follows.
READ_TOKENS = 8
# Probabilities of a position add to this at most, as rounded as they may be.
MOST_MASS = 1.05


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
            options = {"max_tokens": READ_TOKENS, "logprobs": True, "top_logprobs": TOP}
        reply = client.chat.completions.create(
            model=self.settings.model,
            messages=[{"role": "user", "content": text}],
            temperature=0,
            **options,
        )
        said = text_of(reply)
        if self.settings.scores == "text":
            return read_text(without_thought(said))
        refuse_thought(said, said)  # of an empty one too, whose tokens stand before the number
        judgement = read_positions(positions(reply))
        return (
            judgement if judgement.verdict != "unscored" else replace(judgement, said=said[:KEPT])
        )


def text_of(reply: ChatCompletion) -> str:
    """What a reply says."""
    message: Any = reply.choices[0].message  # the client does not check what a body holds
    said = message.content if isinstance(message.content, str) else ""
    for name in ("reasoning_content", "reasoning"):  # where a server takes it out of the reply
        thought = getattr(message, name, None)
        if not said.strip() and isinstance(thought, str) and thought.strip():
            said = f"<think>{thought}"
    return said


@dataclass(frozen=True)
class Position:
    """A token of a reply, its probability, and the likeliest in its place with theirs."""

    token: str
    probability: float
    top: list[tuple[str, float]]


def positions(reply: ChatCompletion) -> list[Position]:
    """The tokens of a reply.

    A reply without a position, which some endpoints send when they filter it, has no token.
    Raises ValueError where the endpoint gives no log-probabilities.
    """
    choice: Any = reply.choices[0]
    try:
        found = [
            Position(
                str(at.token),
                probability(at.logprob),
                [(str(one.token), probability(one.logprob)) for one in at.top_logprobs],
            )
            for at in choice.logprobs.content
        ]
        told = all(position.top for position in found[:1])
    except (AttributeError, TypeError):
        told = False
    if not told:
        raise ValueError(
            "the endpoint returns no log-probabilities; choose another, or set judge.scores to "
            "text, which reads the number that the judge says"
        )
    return found


def probability(logarithm: float) -> float:
    """Of a natural logarithm; ValueError where it is none of a probability."""
    if not logarithm <= 0.01:  # rounded
        raise ValueError(
            f"the endpoint gives {min(logarithm, 1e300):g} as a log-probability, which is none; "
            "set judge.scores to text, or choose another endpoint"
        )
    return math.exp(max(min(logarithm, 0.0), -1e6))  # a whole number may be beyond any float


def read_positions(reply: Sequence[Position]) -> Judgement:
    """A judgement from the first position of a reply, or from the first behind white space.

    Raises ValueError where the tokens behind a number make another of it, or none (`85` in
    pieces, `9/10`, `1. The`): the likeliest tokens of its first position are then no scores. So it
    does for probabilities that add to more than 1.
    """
    likely: list[tuple[str, float]] = []
    chance = 1.0  # of the white space before
    for place, position in enumerate(reply):
        if sum(p for _, p in position.top) > MOST_MASS:
            raise ValueError(
                "the endpoint gives probabilities that add to more than 1; set judge.scores to "
                "text, or choose another endpoint"
            )
        likely += [(token, chance * p) for token, p in position.top]
        text = spaced(position.token)
        said = text + "".join(spaced(after.token) for after in reply[place + 1 :])
        number = as_number(text)
        if number is not None and out_of_100(unscaled(said), scales(said)) != number:
            raise ValueError(
                f"the judge says {said.strip()!r} in pieces, and the first of them tells no score; "
                "set judge.scores to text, or choose a local judge, which reads numbers piece by "
                "piece"
            )
        if text.strip():
            break
        chance *= position.probability
    return read_tokens(likely)
