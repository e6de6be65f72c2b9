"""Commands end within their limit, and all that they started with them, however unwilling."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest

# Starts a process in another process group, as DVC's queue does; neither heeds SIGTERM.
STUBBORN = """
trap '' TERM
set -m
(echo $BASHPID > child; while true; do sleep 0.01; done) &
set +m
while ! [ -s child ]; do sleep 0.01; done
echo begun
while true; do sleep 0.01; done
"""
# Ends at once and leaves a process that holds its output.
LEAVING = "(trap '' TERM; echo $BASHPID > child; sleep 60) & while ! [ -s child ]; do :; done"


def at_work(folder: Path) -> bool:
    stat = Path(f"/proc/{(folder / 'child').read_text().strip()}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_command_over_its_limit_ends_with_all_that_it_started(tmp_path: Path):
    before = time.monotonic()
    with pytest.raises(AssertionError, match=r"longer than 0\.5 s:\nbegun"):
        commands.run(["bash", "-c", STUBBORN], cwd=tmp_path, seconds=0.5, grace=0.05)
    assert time.monotonic() - before < 5
    assert not at_work(tmp_path)


def test_an_error_of_the_test_ends_it_too(tmp_path: Path):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            commands.run(["bash", "-c", STUBBORN], cwd=tmp_path, grace=0.05)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not at_work(tmp_path)


def test_nobody_waits_for_what_goes_on_in_the_background(tmp_path: Path):
    """It goes on until the test ends: a page starts workers by one command and asks by another."""
    before = time.monotonic()
    assert commands.run(["bash", "-c", LEAVING], cwd=tmp_path).returncode == 0
    assert time.monotonic() - before < 5 and at_work(tmp_path)
    commands.end_all(grace=0.05)
    assert not at_work(tmp_path)


def test_a_started_command_lasts_as_long_as_its_block(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), commands.started(["sleep", "60"]) as process:
        assert process.poll() is None
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGTERM


def test_what_it_prints_and_how_it_ends_is_told():
    code = "import sys; print('out'); print('é', file=sys.stderr); sys.exit(3)"
    done = commands.run([sys.executable, "-c", code])
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "é\n")
    together = commands.run(["bash", "-c", "echo a; echo b >&2"], stderr=subprocess.STDOUT)
    assert (together.stdout, together.stderr) == ("a\nb\n", "")
    with pytest.raises(AssertionError, match="ended with 3:\nout\né"):
        commands.run([sys.executable, "-c", code], check=True)
