"""Inputs that once failed, beside the repository; tests that need one are skipped without it."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def case(name: str) -> Path:
    """The folder of a case; the test is skipped where it is not on this machine."""
    if not (CASES / name).exists():
        pytest.skip(f"the case {name} (../shared/cases) is not on this machine")
    return CASES / name


def cases(folder: str) -> list[str]:
    """The names of the cases in a folder; none where they are not on this machine."""
    place = CASES / folder
    found = sorted(path.name for path in place.iterdir()) if place.exists() else []
    assert found or not place.exists(), f"{folder}: there is no case in it"
    return found
