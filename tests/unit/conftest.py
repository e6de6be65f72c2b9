"""Tiny models are computed on one thread: a second waits for the first longer than it helps.

And how many examples a fuzz takes: few and always the same in the suite, many and new ones with
`--hypothesis-profile long`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# A test's folder is one for all of its examples, each of which writes its files anew.
PROFILE = settings(
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("suite", PROFILE, max_examples=25, derandomize=True)
settings.register_profile(
    "long", PROFILE, max_examples=int(os.environ.get("TRAITDRIFT_EXAMPLES", "10000"))
)
settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
