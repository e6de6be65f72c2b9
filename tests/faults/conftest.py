"""A small run that nobody disturbs, beside which the others stand; and what was tried."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from outcomes import Outcomes
from small_run import environment, save_model, small_run
from warm import warm_python


@pytest.fixture(scope="session")
def outcomes() -> Iterator[Outcomes]:
    """Where a test notes what it tried once it has seen the outcome."""
    found = Outcomes()
    yield found
    if path := os.environ.get("TRAITDRIFT_OUTCOMES"):
        found.save(Path(path))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


class Undisturbed:
    """A run that goes on beside the tests, until one asks for what it made."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes], log: Path):
        self.root = root
        self.process = process
        self.log = log

    def finished(self) -> Path:
        """The root of its repository once all is made."""
        assert self.process.wait(600) == 0, self.log.read_text()[-3000:]
        return self.root


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, tiny_model: Path) -> Iterator[Undisturbed]:
    """In a folder whose name has spaces and signs beyond ASCII, and under the plain C locale."""
    above = tmp_path_factory.mktemp("undisturbed")
    root = small_run(above / "lauf \u00e9t\u00e9 \u2713 'q' $x", tiny_model)
    log = above / "log"
    with warm_python(above / "bin") as folder, log.open("w") as out:
        env = {**environment(folder), "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"}
        env.pop("PYTHONIOENCODING", None)
        command = [sys.executable, "-m", "dvc", "repro"]
        with commands.started(command, cwd=root, env=env, stdout=out, stderr=out) as process:
            yield Undisturbed(root, process, log)


@pytest.fixture(scope="session")
def disturbed(tmp_path_factory, tiny_model: Path) -> Path:
    return small_run(tmp_path_factory.mktemp("disturbed") / "repository", tiny_model)
