"""The repository as the tests see it: its root, its stages, and throw-away copies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

# Stages are run from the root (`python -m stages.NAME`); tests import them from there too.
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the repository; tests that need it are skipped where it is absent."""
    if not SHARED.exists():
        pytest.skip("real data sets (../shared/data) are not on this machine")
    return SHARED


def working_copy(into: Path) -> Path:
    """A git repository with the tracked and not ignored files of this one, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    for command in (
        ["git", "init", "--quiet"],
        ["git", "config", "user.name", "tests"],
        ["git", "config", "user.email", "tests@localhost"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "copy"],
    ):
        subprocess.run(command, cwd=into, check=True)
    return into
