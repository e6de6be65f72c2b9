"""The commands that tests start: each has a limit of time, and ends with all that it started.

A command leads a session of its own, in which everything stays that it starts: also the workers of
DVC's queue, which leave their process group. What it prints goes to files, since whoever reads a
pipe to its end waits for every process that inherited it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil

LIMIT = 900  # seconds: on a slow machine no command of these tests takes half of that
GRACE = 5.0  # seconds in which a process may end by itself once it is asked to

# Sessions of commands that came to their end and left something at work.
_open: set[int] = set()


def members(session: int) -> list[int]:
    """The processes of a session that are at work; those that have ended may lie there unread."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def end(session: int, grace: float = GRACE) -> None:
    """End every process of a session: by SIGTERM, and after the grace by SIGKILL."""
    last = time.monotonic() + grace
    told: set[int] = set()
    while left := members(session):
        late = time.monotonic() > last
        for pid in left:
            if late or pid not in told:
                told.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.01)
    _open.discard(session)


def end_all(grace: float = GRACE) -> None:
    """End what commands left at work."""
    for session in list(_open):
        end(session, grace)


@contextlib.contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """A command while the `with` lasts; afterwards neither it nor what it started is there."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield process
    finally:
        end(process.pid)
        process.wait()


def run(
    command: Sequence[str],
    *,
    check: bool = False,
    seconds: float = LIMIT,
    grace: float = GRACE,
    stdin: int = subprocess.DEVNULL,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """A command from beginning to end, and what it printed.

    AssertionError with that if it takes longer or, with `check`, fails. What it leaves at work when
    it ends well lasts no longer than the test: see `end_all`.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:

        def printed() -> tuple[str, str]:
            for file in (out, errors):
                file.seek(0)
            return out.read().decode(), errors.read().decode()

        options = {"stdout": out, "stderr": errors, **options}
        process = subprocess.Popen(command, start_new_session=True, stdin=stdin, **options)
        try:
            process.wait(seconds)
        except BaseException as error:
            end(process.pid, grace)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                told = "\n".join(text[-3000:] for text in printed())
                raise AssertionError(f"{command} took longer than {seconds} s:\n{told}") from None
            raise
        if members(process.pid):
            _open.add(process.pid)
        done = subprocess.CompletedProcess(command, process.returncode, *printed())
    told = done.stdout[-3000:] + done.stderr[-3000:]
    assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{told}"
    return done
