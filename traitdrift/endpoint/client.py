"""Requests to an OpenAI-compatible endpoint (chat completions), several at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from typing import TypeVar, cast
from urllib.parse import urlsplit

from traitdrift.core.ending import Ended
from traitdrift.core.text import printable
from traitdrift.endpoint.settings import EndpointSettings, loopback

try:
    import httpx2
    from openai import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        DefaultHttpxClient,
        OpenAI,
        OpenAIError,
    )
except ModuleNotFoundError as error:
    raise ValueError(
        f"{error}, which an endpoint takes; install trait-drift with its extra [endpoint]"
    )

KEY = "OPENAI_API_KEY"
# The characters of a key that is one; shorter ones are words for servers that want none.
SECRET = 16
# Bytes of a reply: more than thousands of tokens, each with its alternatives, take.
LARGEST = 16_000_000
Thing = TypeVar("Thing")
Reply = TypeVar("Reply")


def ask_all(
    settings: EndpointSettings,
    model: str,
    things: Sequence[Thing],
    ask: Callable[[OpenAI, Thing], Reply],
) -> Iterator[tuple[int, Reply]]:
    """What `ask` makes of each thing, named by its index, as the answers of `model` come.

    The key comes from the environment and goes to that address alone: no redirect is followed, and
    a reply that repeats it is none. Faults that may pass (429, 500 and
    above, time-outs, cut connections, a body that is no chat completion) are tried again by the
    client of the `openai` package, each time after a longer pause.

    Raises ValueError where there is no key, or, once all that was under way has come, where a
    request failed for good: it names the endpoint and the fault. An interrupt waits for what is
    under way too; a second one does not, nor does a stage for longer than `core.ending.GRACE`.
    """
    client, fault = connected(settings), None
    interrupted: BaseException | None = None
    ahead = iter(enumerate(things))
    under_way: dict[Future[Reply], int] = {}
    with ThreadPoolExecutor(settings.concurrency) as pool:
        while True:
            # After a fault nothing more is asked, but what is under way may be paid for.
            stop = fault or interrupted
            room = 0 if stop else settings.concurrency - len(under_way)
            for index, thing in islice(ahead, room):
                under_way[pool.submit(ask, client, thing)] = index
            if not under_way:
                break
            try:
                finished = wait(under_way, return_when=FIRST_COMPLETED).done
            except (KeyboardInterrupt, Ended) as interrupt:
                if interrupted:
                    raise
                interrupted = interrupt
                continue
            for done in finished:
                index = under_way.pop(done)
                try:
                    reply = done.result()
                except (OpenAIError, ValueError) as error:
                    fault = fault or told(error, settings, client, model)
                else:
                    yield index, reply
    if interrupted:
        raise interrupted
    if fault:
        raise ValueError(
            f"{settings.url}: {fault}; what it said so far is kept, "
            "run `dvc repro` again to ask for the rest"
        )


def connected(settings: EndpointSettings) -> OpenAI:
    """A client; a ValueError without a key."""
    key = os.environ.get(KEY)
    if not key:
        raise ValueError(
            f"{KEY} is not set: the endpoint's key is taken from the environment alone; set it "
            "(to any word for an endpoint that wants none)"
        )
    here = loopback(urlsplit(settings.url).hostname or "")
    return OpenAI(
        api_key=key,
        base_url=settings.url,
        timeout=settings.timeout,
        max_retries=settings.retries,
        http_client=DefaultHttpxClient(
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [partial(bound, settings.timeout), whole]},
            trust_env=not here,  # a proxy would be told the key, over plain http
        ),
    )


def told(
    error: OpenAIError | ValueError, settings: EndpointSettings, client: OpenAI, model: str
) -> str:
    """A fault in one line, without the key, which some endpoints repeat."""
    tries = f"after {settings.retries + 1} tries"
    if isinstance(error, APITimeoutError):
        fault = f"no answer within {settings.timeout:g} s, {tries}"
    elif isinstance(error, APIConnectionError):
        fault = f"{error.__cause__ or error}, {tries}"
    elif isinstance(error, APIStatusError):
        passing = error.status_code in (408, 409, 429) or error.status_code >= 500
        fault = f"HTTP {error.status_code}" + (f", {tries}" if passing else "")
        if 300 <= error.status_code < 400:
            where = printable(error.response.headers.get("location", "nowhere"))[:100]
            fault += f", a redirect to {where!r}, which is not followed; mend the url"
        elif error.status_code in (401, 403):
            fault += f", the key in {KEY} is refused"
        elif error.status_code in (400, 404) and (served := served_beside(client, model)):
            fault += f", {model!r} is not served, but {served}"
        fault += f" ({error.message})"
    else:
        fault = str(error)
    return printable(fault.replace(os.environ[KEY], "***"))[:300]


def served_beside(client: OpenAI, model: str) -> str:
    """The names of the models that an endpoint lists; nothing if it lists none, or this one."""
    try:
        names = [one.id for one in client.with_options(max_retries=0).models.list()]
    except (OpenAIError, AttributeError, TypeError):  # the client does not check what a body holds
        return ""
    return "" if model in names else ", ".join(names)


class Bounded(httpx2.SyncByteStream):
    """A body that ends: it fails once it has taken `seconds`, or is larger than any reply.

    Time-outs of the client are those of a single read, which a body that trickles never meets.
    """

    def __init__(self, stream: httpx2.SyncByteStream, seconds: float):
        self.stream, self.seconds = stream, seconds

    def __iter__(self) -> Iterator[bytes]:
        last, size = time.monotonic() + self.seconds, 0
        for part in self.stream:
            size += len(part)
            if size > LARGEST:
                raise httpx2.ReadError(f"a reply of more than {LARGEST:,} bytes")
            if time.monotonic() > last:
                raise httpx2.ReadTimeout(f"a reply that goes on for more than {self.seconds:g} s")
            yield part

    def close(self) -> None:
        self.stream.close()


def bound(seconds: float, response: httpx2.Response) -> None:
    """Bound a body before anything reads it; one compressed unasked could become of any size."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("the reply is compressed, unasked", request=response.request)
    response.stream = Bounded(cast("httpx2.SyncByteStream", response.stream), seconds)


def whole(response: httpx2.Response) -> None:
    """Make a body that is no chat completion a fault of the connection: it is tried again.

    So is one that repeats the key, which must not get into what is kept and shared.
    """
    if not response.is_success or response.request.method != "POST":
        return
    response.read()
    try:
        body = json.loads(response.content)
        complete = isinstance(body["choices"][0]["message"], dict)
    except (ValueError, LookupError, TypeError, RecursionError):
        complete = False
    if not complete:
        raise httpx2.DecodingError("the reply is no chat completion", request=response.request)
    key = os.environ.get(KEY, "")
    if len(key) >= SECRET and key in json.dumps(body, ensure_ascii=False):
        raise httpx2.DecodingError(f"the reply repeats {KEY}", request=response.request)
