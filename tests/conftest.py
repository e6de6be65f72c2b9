"""Where the tests find the repository and the real data beside it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from lab import Lab, started

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

# torch's threads wait for each other by turning in circles, which on a busy machine takes the core
# from whom they wait for: thirty times as long. So they sleep, also in every command of a test.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What a test sees is computed, and not kept from another one.
os.environ["TRAITDRIFT_KEEP_GB"] = "0"

# A shell lets what it starts behind `&` or `nohup` ignore signals, and what is started from here
# would ignore them as well: the tests of signals begin as they would in a terminal.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)

# Stages are run from the root (`python -m stages.NAME`); tests import them from there too.
sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """What the commands of a test left at work ends with it, also where it fails."""
    yield
    commands.end_all()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the repository; tests that need it are skipped where it is absent."""
    if not SHARED.exists():
        pytest.skip("real data sets (../shared/data) are not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def settled(tmp_path_factory) -> Lab:
    """The small pipeline after a run, committed; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("lab")
    lab = started(folder / "lab", folder / "elsewhere")
    here = Path.cwd()
    os.chdir(lab.path)
    try:
        assert len(lab.repro()) == 7
        assert lab.repro() == set()
    finally:
        os.chdir(here)
    lab.commit()
    return lab


@pytest.fixture
def lab(settled: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A copy of the settled small pipeline, in which the test stands."""
    shutil.copytree(settled.path, tmp_path / "lab", symlinks=True)
    monkeypatch.chdir(tmp_path / "lab")
    return Lab(tmp_path / "lab")
