"""Counts what was tried, for docs/reliability.md (`make reliability`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from outcomes import Outcomes


@pytest.fixture(scope="session")
def outcomes() -> Iterator[Outcomes]:
    """Where a test notes what it tried once it has seen the outcome."""
    found = Outcomes()
    yield found
    if path := os.environ.get("TRAITDRIFT_OUTCOMES"):
        found.save(Path(path))
