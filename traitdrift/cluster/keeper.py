"""Runs one stage's command on a node and ends with it, and it with whoever asked for it.

A program of its own: `attempt.py` starts it and holds its standard input; when that closes, the one
who asked is gone, and the command is ended with all that it started. As long as any of it may run,
it holds a lock on a file that all nodes see: whoever lacks that lock runs nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

GRACE = 10.0  # seconds in which a command may end by itself once it is interrupted
SUBREAPER = 36  # of Linux' prctl


def claim(path: Path) -> int | None:
    """The lock of a stage, as an open file; None if somebody has it, on whichever node.

    The kernel gives it up when its processes end, however they do; the file server, when their
    machine is gone. OSError where the file system has no such locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError as error:
        os.close(file)
        raise OSError(f"{path}: {error.strerror}; the file system must lock files, see `flock`")
    return file


def holder(path: Path) -> str:
    """The node on which a stage runs, "" if none has begun."""
    return path.read_text() if path.exists() else ""


def at_work(session: int) -> list[psutil.Process]:
    """The processes of a session, and all that this process has started; not this one."""
    found = {one.pid: one for one in psutil.Process().children(recursive=True)}
    for one in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(one.pid) == session:
                found[one.pid] = one
    found.pop(os.getpid(), None)
    alive = []
    for one in found.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.status() != psutil.STATUS_ZOMBIE:
                alive.append(one)
    return alive


def end(session: int, grace: float = GRACE) -> None:
    """End those: an interrupt, as from a terminal, lets DVC give up its locks; then by force."""
    last = time.monotonic() + grace
    told: set[int] = set()
    while left := at_work(session):
        late = time.monotonic() > last
        for one in left:
            if late or one.pid not in told:
                told.add(one.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL if late else signal.SIGINT)
        time.sleep(0.05)


def keep(command: list[str], log: Path, again: bool, lock: int) -> int | None:
    """The exit code of a command, None if it was ended because nobody waits for it any more."""
    session = os.getsid(0)
    with log.open("ab" if again else "wb") as out:
        out.write(f"# {socket.gethostname()}: {' '.join(command)}\n".encode())
        out.flush()
        # The command holds the lock too: should this process be killed, it is held none the less.
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[lock]
        ) as process:
            grace = GRACE
            try:
                while process.poll() is None:
                    if select.select([sys.stdin], [], [], 0.2)[0]:
                        return None
                grace = 1.0  # for what a stage leaves behind: DVC has ended
                return process.returncode
            finally:
                end(session, grace)


def main() -> None:
    """keeper.py LOCK LOG first|again COMMAND...; prints what became of it as JSON."""
    path, log, attempt, *command = sys.argv[1:]
    # Nobody's child: Ray kills the children of a worker that ends, and nobody would end theirs.
    if os.fork():
        os._exit(0)
    # An interrupt must reach the command: Ray's workers block it, a shell's background ignores it.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":  # what loses its parent becomes this process' child
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    told: dict[str, object]
    try:
        lock = claim(Path(path))
        if lock is None:
            told = {"busy": f"it runs on {holder(Path(path))}"}
        else:
            os.truncate(lock, 0)
            os.write(lock, socket.gethostname().encode())
            told = {"code": keep(command, Path(log), attempt == "again", lock)}
            os.truncate(lock, 0)
    except OSError as error:
        told = {"error": str(error)}
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
