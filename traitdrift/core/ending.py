"""How a stage ends before its time: at a signal, or when who asked for it is gone.

A signal becomes an exception in the main thread, so that what is open is closed and what is half
made is removed, and then an exit code by the shell's custom (143 is SIGTERM). A thread looks on: it
ends a process that has not ended by itself after `GRACE`, for instance because a library swallowed
the exception, and one whose `dvc` was killed, which would go on beside its rerun.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import psutil

GRACE = 4.0  # seconds in which a stage may close what is open
LOOK = 0.2  # seconds from one look at the parents to the next
# Those that end a process; where they are ignored (`nohup`, a shell's background), they stay so.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """Raised in the main thread; no Exception, for that is caught where attempts may fail."""

    def __init__(self, ending: Ending):
        super().__init__(ending.why)
        self.ending = ending


class Ending:
    """What is known of a process' end. `say` is called with why, once."""

    def __init__(self, say: Callable[[str], None]):
        self.say = say
        self.said = False
        self.process = os.getpid()
        self.at_work = False  # whether there is anything to be closed
        self.raised = False
        self.why, self.code = "", 0
        self.until: float | None = None
        self.stage = os.environ.get("DVC_STAGE")
        self.parents = askers(self.stage) if self.stage else []
        self.orphan = bool(self.parents) and adopted(self.parents)

    def arm(self) -> None:
        """From now on signals and the end of a parent end this process."""
        readable, writable = os.pipe()
        for end in (readable, writable):
            os.set_blocking(end, False)
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.received)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        # A copy of this process would write its own signals to this one's pipe.
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
        threading.Thread(target=self.look_on, args=(readable,), daemon=True).start()

    def received(self, number: int, frame: FrameType | None) -> None:
        """Python's own handler, in the main thread, between two steps of Python."""
        if os.getpid() != self.process:  # a copy of this process ends as it would have
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.know(number)
        if not self.at_work:
            self.leave()
        if not self.raised:  # a second signal does not disturb what the first one closes
            self.raised = True
            raise Ended(self)

    def know(self, number: int) -> None:
        if not self.why:
            self.why, self.code = f"ended by {signal.Signals(number).name}", 128 + number
        self.until = self.until or time.monotonic() + GRACE

    def look_on(self, signals: int) -> None:
        """The thread's work."""
        while True:
            if select.select([signals], [], [], LOOK)[0]:
                for number in os.read(signals, 64):
                    if number in ENDING:  # which the main thread may be too busy to see
                        self.know(number)
            if self.until is None and (self.orphan or not all(map(alive, self.parents))):
                self.why, self.code = "ended, for what asked for it is gone", 143
                self.until = time.monotonic() + GRACE
                os.kill(self.process, signal.SIGTERM)
            if self.until is not None and time.monotonic() > self.until:
                self.leave()

    def tell(self) -> None:
        """Say why this process ends."""
        if not self.said:
            self.said = True
            with contextlib.suppress(OSError):  # whoever read it may be gone
                self.say(self.why)

    def leave(self) -> None:
        """End this process and what it has started, at once."""
        self.tell()
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        os._exit(self.code)


def askers(stage: str) -> list[psutil.Process]:
    """This process' parents up to the one that asked for the stage, which is not in the stage."""
    found = []
    with contextlib.suppress(psutil.Error):  # another user's, such as a cluster's daemon
        for parent in psutil.Process().parents():
            found.append(parent)
            if parent.environ().get("DVC_STAGE") != stage:
                break
    return found


def adopted(parents: list[psutil.Process]) -> bool:
    """Whether the last of them has only taken in what another left, which ended before this looked.

    That is the first process of a system, or a session's `systemd`, and of another session than
    what it took in; who asks for a stage has it in its own.
    """
    *stage, last = [psutil.Process(), *parents]
    with contextlib.suppress(psutil.Error, OSError):
        reaps = last.pid == 1 or last.name() == "systemd"
        return reaps and os.getsid(last.pid) != os.getsid(stage[-1].pid)
    return False


def alive(process: psutil.Process) -> bool:
    """Whether it runs: one that has ended and was not waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
