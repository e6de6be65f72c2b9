"""System packages that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped, or fails where none may be.

    `.ci/run` installs the packages and sets TRAITDRIFT_NO_SKIP=1.
    """
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = f"{program} is not installed; `sudo apt-get install {package}`"
        (pytest.fail if os.environ.get("TRAITDRIFT_NO_SKIP") else pytest.skip)(reason)
    return found
