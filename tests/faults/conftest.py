"""A small run that nobody disturbs, beside which the others stand; and what was tried."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
def warm(tmp_path_factory) -> Iterator[Path]:
    """The folder of a `python` for stages that is quick to begin."""
    with warm_python(tmp_path_factory.mktemp("warm") / "bin") as folder:
        yield folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, tiny_model: Path, warm: Path) -> Iterator[Undisturbed]:
    """In a folder whose name has spaces and signs beyond ASCII, and under the plain C locale."""
    above = tmp_path_factory.mktemp("undisturbed")
    root = small_run(above / "lauf \u00e9t\u00e9 \u2713 'q' $x", tiny_model)
    log = above / "log"
    env = {**environment(warm), "LC_ALL": "C", "LANG": "C"}
    env.pop("PYTHONIOENCODING", None)
    command = [sys.executable, "-m", "dvc", "repro"]
    with (
        log.open("w") as out,
        commands.started(command, cwd=root, env=env, stdout=out, stderr=out) as process,
    ):
        yield Undisturbed(root, process, log)


@dataclass
class Disturbed:
    """A run whose stages are quick to begin but for those that are named, which are Pythons."""

    root: Path
    programs: Path
    named: Path

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.programs)

    def plain(self, stages: list[str]) -> None:
        """From now on these stages alone are processes of their own, as they are for everybody."""
        self.named.write_text(f" {' '.join(stages)} \n")


@pytest.fixture(scope="session")
def disturbed(tmp_path_factory, tiny_model: Path, warm: Path) -> Disturbed:
    above = tmp_path_factory.mktemp("disturbed")
    python, named = above / "bin/python", above / "plain"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\nread -r names < "{named}"\ncase " $names " in\n'
        f'*" $DVC_STAGE "*) exec "{sys.executable}" "$@" ;;\n'
        f'*) exec "{warm / "python"}" "$@" ;;\nesac\n'
    )
    python.chmod(0o755)
    return Disturbed(small_run(above / "repository", tiny_model), python.parent, named)
