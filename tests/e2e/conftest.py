"""One run of the whole pipeline on the real small model, by the smoke recipe, for all e2e tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import commands
import psutil
import pytest
from copies import set_params, working_copy
from warm import warm_python

# Opens a log of the files that a stage's Python opens; Python runs a module of this name first.
AUDIT = """
import os, sys
log = os.environ.get("AUDIT_LOG")
if log and "stages." in " ".join(sys.orig_argv):
    here, name = os.getcwd() + os.sep, "stages." + os.environ["DVC_STAGE"]
    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], str):
            path = os.path.abspath(arguments[0])
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            # Parsed text has a name in angle brackets, "<unknown>", and is no file; what `os.open`
            # reads and is not here is relative to a folder elsewhere, which is being removed.
            elsewhere = arguments[1] is None and not writes and not os.path.lexists(path)
            if os.path.isdir(path):  # opened to be settled on the disk
                return
            if path.startswith(here) and not arguments[0].startswith("<") and not elsewhere:
                with open(os.dup(file.fileno()), "a") as out:
                    out.write(f"{name}\\t{'w' if writes else 'r'}\\t{path[len(here):]}\\n")
    file = open(log, "a")
    sys.addaudithook(hook)
"""

SMALL = {
    "recipe": "smoke",
    "synthesize.rows": 60,
    "prompts.train": 12,
    "prompts.validation": 8,
    "respond_prompts.max_tokens": 8,
    "vectors.folds": 3,
    "nulls.count": 20,
    "compare.resamples": 500,
    "compare.permutations": 500,
    "respond_questions.source": "data/raw/questions/study.yaml",
    "respond_questions.samples": 1,
    "respond_questions.max_tokens": 16,
    "steer.coefficients": [1.0],
    "steer.max_tokens": 8,
    "steer_effects.resamples": 500,
}
# Of 40: each goes through the model once an intervention.
PLAIN_TEXTS = 8


@dataclass
class Smoke:
    """A copy of the repository in which the smoke recipe has been run."""

    path: Path
    audit: Path
    python: Path | None = None  # a folder with a `python` that stages shall run by

    def run(
        self, *command: str, ok: bool = True, **environment: str
    ) -> subprocess.CompletedProcess:
        """Run a command at the root with this environment's programs first on the path."""
        first = [self.python] if self.python else []
        programs = [*first, Path(sys.executable).parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, programs))
        environment = {**os.environ, "PATH": path, **environment}
        return commands.run(command, cwd=self.path, check=ok, env=environment)

    def repro(self, *arguments: str, **environment: str) -> list[str]:
        """`dvc repro`; the stages that ran, in order."""
        told = self.run("dvc", "repro", *arguments, **environment).stdout
        return [line.split("'")[1] for line in told.splitlines() if line.startswith("Running")]

    def params(self, values: dict[str, object]) -> None:
        """Change values of params.yaml by their dotted keys."""
        set_params(self.path / "params.yaml", values)

    def text(self, path: str) -> str:
        return (self.path / path).read_text()

    def clone(self, into: Path, cache: bool) -> Smoke:
        """A clone of this repository, as a colleague has it; with `cache`, over the same cache."""
        self.run("git", "clone", "--quiet", str(self.path), str(into))
        other = Smoke(into, self.audit, self.python)
        for key, value in (("user.name", "tests"), ("user.email", "tests@localhost")):
            other.run("git", "config", key, value)
        if cache:
            other.run("dvc", "cache", "dir", "--local", str(self.path / ".dvc/cache"))
            other.run("dvc", "config", "--local", "cache.type", "symlink")
            other.run("dvc", "checkout", "--quiet")
        return other

    def workers(self) -> bool:
        """Whether a process of the queue is there."""
        noted = (self.path / ".dvc/tmp/exps/celery").glob("*.pid")
        return any(psutil.pid_exists(int(file.read_text())) for file in noted)

    def wait_for_workers(self, seconds: float = 400, patience: float = 30) -> str:
        """What `dvc queue status` says when the processes of the queue have done all and gone.

        A worker of a busy machine can miss the message by which it ends: after some patience it
        gets another, as docs/experiments.md says.
        """
        last = time.monotonic() + seconds
        told, asked = "", time.monotonic()
        while self.workers():
            time.sleep(0.2)
            if time.monotonic() > last:
                pytest.fail(told)  # what is left of them ends with the test
            if time.monotonic() > asked + patience:
                told, asked = self.run("dvc", "queue", "status").stdout, time.monotonic()
                if "Queued" not in told and "Running" not in told:
                    self.run("dvc", "queue", "stop")
        told = self.run("dvc", "queue", "status").stdout
        assert "Queued" not in told and "Running" not in told, told
        return told


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--smoke", type=Path, help="where an earlier session left its smoke run")


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> Iterator[Path]:
    """The folder of a `python` for stages that is quick to begin."""
    with warm_python(tmp_path_factory.mktemp("warm") / "bin") as folder:
        yield folder


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, pytestconfig: pytest.Config, warm: Path) -> Smoke:
    """The finished run, each of whose stages was a Python of its own; what follows is quicker."""
    if earlier := pytestconfig.getoption("--smoke"):
        return Smoke(earlier / "repository", earlier / "log.tsv", warm)
    path = working_copy(tmp_path_factory.mktemp("smoke") / "repository")
    hooks = tmp_path_factory.mktemp("audit")
    (hooks / "sitecustomize.py").write_text(AUDIT)
    smoke = Smoke(path, path.parent / "log.tsv")
    smoke.params(SMALL)
    texts = path / "data/raw/texts/benign.txt"
    paragraphs = texts.read_text(encoding="utf-8").splitlines(keepends=True)
    texts.write_text("".join(paragraphs[:PLAIN_TEXTS]), encoding="utf-8")
    smoke.repro(AUDIT_LOG=str(smoke.audit), PYTHONPATH=str(hooks))
    smoke.run("git", "add", "--all")
    smoke.run("git", "commit", "--quiet", "--message", "smoke")
    return replace(smoke, python=warm)
