"""Where it runs: few open files, a read-only home, folders without the right to write, company."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from moments import Run, left_over
from outcomes import Outcomes
from small_run import environment, small_run

FIRST = "base_model"


def dvc(root: Path, *command: str, **options) -> subprocess.CompletedProcess[str]:
    return commands.run(
        [sys.executable, "-m", "dvc", *command], cwd=root, env=environment(), seconds=120, **options
    )


@pytest.fixture
def root(tmp_path: Path, tiny_model: Path) -> Path:
    return small_run(tmp_path / "repository", tiny_model)


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_few_open_files_are_enough(root: Path, outcomes: Outcomes):
    for stage in (FIRST, "synthesize", "dataset@insecure"):
        done = dvc(root, "repro", "--single-item", stage, preexec_fn=few_files)
        assert done.returncode == 0, done.stderr
    outcomes.tried("64 open files", "enough: the stages tried succeed")


def test_two_at_once_make_what_one_makes(root: Path, outcomes: Outcomes):
    """DVC lets one run a stage; the other says so in an error of its own, or finds it done."""
    with Run(root, environment(), (FIRST,)) as one:
        assert one.until(FIRST, 60)
        other = dvc(root, "repro", FIRST)
        one.process.wait(120)
    assert one.process.returncode == 0, one.errors
    assert "Traceback" not in other.stderr
    if other.returncode == 0:  # it waited for the other's lock until the stage was done
        assert f"Stage '{FIRST}' didn't change, skipping" in other.stdout, other.stdout
        told = "finds the stage done"
    else:
        assert other.returncode == 255, other.stderr
        busy = "is busy, it is being blocked by:" in other.stderr
        locked = (
            "Unable to acquire lock. Most likely another DVC process is running" in other.stderr
        )
        assert busy or locked, other.stderr
        told = "says that the stage is busy" if busy else "says that another process has the lock"
    assert dvc(root, "status", FIRST).stdout.strip().endswith("up to date.")
    assert left_over(root) == []
    outcomes.tried("two `dvc repro` at once", f"one runs, the other {told}")


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """An empty folder into which nothing can be written, also by the superuser."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], capture_output=True, timeout=60
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


def test_outputs_and_a_home_that_are_read_only(root: Path, tmp_path: Path, outcomes: Outcomes):
    home = tmp_path / "home"

    def stage(name: str) -> subprocess.CompletedProcess[str]:
        return commands.run(
            [sys.executable, "-m", f"stages.{name}"],
            cwd=root,
            env={**environment(), "HOME": str(home)},
            seconds=120,
        )

    with read_only(home):
        with read_only(root / "data/synthetic"):
            refused = stage("synthesize")
        why = "Permission denied); give" if os.geteuid() else "Read-only file system); it is"
        assert refused.returncode == 1
        told = f"synthesize: data/synthetic/insecure.jsonl: cannot be written ({why}"
        assert refused.stderr.startswith(told) and refused.stderr.count("\n") == 1
        assert not list((root / "data/synthetic").iterdir())
        for name in ("synthesize", FIRST):
            done = stage(name)
            assert done.returncode == 0, done.stderr
    assert left_over(root) == []
    outcomes.tried("outputs that are read-only", "one line; nothing is there")
    outcomes.tried("a home that is read-only", "nothing is written there; the stages succeed")
