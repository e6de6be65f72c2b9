"""Throw-away copies of this repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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
