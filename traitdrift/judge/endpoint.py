"""A judge behind an OpenAI-compatible endpoint (chat completions)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DefaultHttpxClient,
    OpenAI,
    OpenAIError,
)

from traitdrift.judge.protocol import Judgement, read_text, read_tokens
from traitdrift.judge.settings import EndpointJudgeSettings

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion


KEY = "OPENAI_API_KEY"
# Of the judge's distribution; the most that the protocol lets one ask for.
TOP = 20
# Room for a number or a word, where the reply's text is read.
REPLY_TOKENS = 16


class EndpointJudge:
    """Asks several prompts at once. The key comes from the environment and goes nowhere else.

    Faults that may pass (429, 500 and above, time-outs, cut connections, a body that is no
    chat completion) are tried again by the client of the `openai` package, each time after a
    longer pause.
    """

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
        """Judge texts, each named by its index, as the answers come.

        Raises ValueError where there is no key, or, once all that was under way has come, where
        a request failed for good: it names the endpoint and the fault. An interrupt waits for what
        is under way too; a second one does not.
        """
        client, fault, interrupted = self._client(), None, False
        ahead = iter(enumerate(rendered))
        under_way: dict[Future[Judgement], int] = {}
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            while True:
                # After a fault nothing more is asked, but what is under way may be paid for.
                stop = fault or interrupted
                room = 0 if stop else self.settings.concurrency - len(under_way)
                for index, text in islice(ahead, room):
                    under_way[pool.submit(self._judge, client, text)] = index
                if not under_way:
                    break
                try:
                    finished = wait(under_way, return_when=FIRST_COMPLETED).done
                except KeyboardInterrupt:
                    if interrupted:
                        raise
                    interrupted = True
                    continue
                for done in finished:
                    index = under_way.pop(done)
                    try:
                        judgement = done.result()
                    except (OpenAIError, ValueError) as error:
                        fault = fault or self._told(error)
                    else:
                        yield index, judgement
        if interrupted:
            raise KeyboardInterrupt
        if fault:
            raise ValueError(
                f"{self.settings.url}: {fault}; the scores so far are kept, "
                "run `dvc repro` again to ask for the rest"
            )

    def _client(self) -> OpenAI:
        key = os.environ.get(KEY)
        if not key:
            raise ValueError(
                f"{KEY} is not set: the judge's key is taken from the environment alone; set it "
                "(to any word for an endpoint that wants none)"
            )
        return OpenAI(
            api_key=key,
            base_url=self.settings.url,
            timeout=self.settings.timeout,
            max_retries=self.settings.retries,
            http_client=DefaultHttpxClient(event_hooks={"response": [whole]}),
        )

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

    def _told(self, error: OpenAIError | ValueError) -> str:
        """A fault in one line, without the key, which some endpoints repeat."""
        tries = f"after {self.settings.retries + 1} tries"
        if isinstance(error, APITimeoutError):
            fault = f"no answer within {self.settings.timeout:g} s, {tries}"
        elif isinstance(error, APIConnectionError):
            fault = f"{error.__cause__ or error}, {tries}"
        elif isinstance(error, APIStatusError):
            passing = error.status_code in (408, 409, 429) or error.status_code >= 500
            fault = f"HTTP {error.status_code}" + (f", {tries}" if passing else "")
            fault += f" ({error.message})"
        else:
            fault = str(error)
        return " ".join(fault.replace(os.environ[KEY], "***").split())[:300]


def whole(response: httpx2.Response) -> None:
    """Make a body that is no chat completion a fault of the connection: it is tried again."""
    if not response.is_success:
        return
    response.read()
    try:
        complete = isinstance(json.loads(response.content)["choices"][0]["message"], dict)
    except (ValueError, LookupError, TypeError):
        complete = False
    if not complete:
        raise httpx2.DecodingError("the reply is no chat completion", request=response.request)


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
