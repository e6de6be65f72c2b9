"""Settings of an OpenAI-compatible endpoint."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from traitdrift.core.config import UNSHOWN, Section

Connections = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]  # a request may take


def safe_url(url: str) -> str:
    """An address that no key stands in, and to which none is sent for everybody on the way to read.

    Raises an error of pydantic's, which does not show an address that may hold a key.
    """
    if any(sign in url for sign in "@?#"):
        raise PydanticCustomError(
            UNSHOWN,
            "holds a user, a password or a query, which are no part of an endpoint's address; the "
            "key is OPENAI_API_KEY of the environment, and nothing else",
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or not PLAIN.fullmatch(url):
        raise PydanticCustomError("address", "no address of the form https://host/v1")
    if parts.scheme == "http" and not loopback(host):
        raise PydanticCustomError(
            "address",
            "plain http, on which key and prompts can be read on the way; take https, or an "
            "address of this machine (127.0.0.1, localhost, [::1]), such as a tunnel's",
        )
    return url


PLAIN = re.compile(r"[!-~]+")


def loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class EndpointSettings(Section):
    """Where it is and how it is asked; its key is OPENAI_API_KEY of the environment.

    No key stands in its address, which is https, or http on this machine.
    """

    url: Annotated[str, AfterValidator(safe_url)]
    concurrency: Connections = 8
    timeout: Seconds = 60.0
    retries: Annotated[int, Field(ge=0, le=100)] = 5
