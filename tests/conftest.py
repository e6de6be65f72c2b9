"""Where the tests find the repository and the real data beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

# Stages are run from the root (`python -m stages.NAME`); tests import them from there too.
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the repository; tests that need it are skipped where it is absent."""
    if not SHARED.exists():
        pytest.skip("real data sets (../shared/data) are not on this machine")
    return SHARED
