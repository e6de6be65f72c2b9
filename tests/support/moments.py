"""A `dvc repro` that is disturbed at moments, and what is to be seen then."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import commands

BEGUN = re.compile(r"Running stage '([^']+)'|Stage '([^']+)' is cached")
SCRATCH = re.compile(r"\.[^/]*\.[0-9a-f]{8}-\d+-[0-9a-f]{8}\.part(/|$)")


@dataclass(frozen=True)
class Moment:
    """Some seconds after a stage begins, a signal to `dvc` alone or to all that it started."""

    stage: str
    seconds: float
    signal: signal.Signals
    group: bool

    def __str__(self) -> str:
        whom = "the group" if self.group else "dvc alone"
        return f"{self.signal.name} to {whom}, {self.seconds:.1f} s into {self.stage}"


@dataclass
class Run:
    """`dvc repro` in a folder, in a session of its own, with what it says as it comes."""

    root: Path
    environment: dict[str, str]
    targets: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __enter__(self) -> Run:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", *self.targets],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.readers = [
            threading.Thread(target=into.extend, args=(pipe,), daemon=True)
            for pipe, into in ((self.process.stdout, self.said), (self.process.stderr, self.errors))
        ]
        for reader in self.readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        commands.end(self.process.pid)
        self.process.wait()

    def ran(self) -> list[str]:
        """The stages that have begun, or were taken from what had run before."""
        found = (BEGUN.match(line) for line in list(self.said))
        return [begun[1] or begun[2] for begun in found if begun]

    def until(self, stage: str, limit: float) -> bool:
        """Wait until a stage begins; False if the run ends before."""
        last = time.monotonic() + limit
        while stage not in self.ran():
            if self.process.poll() is not None:
                for reader in self.readers:
                    reader.join(10)
                return stage in self.ran()
            assert time.monotonic() < last, (stage, self.said[-5:], self.errors[-5:])
            time.sleep(0.02)
        return True

    def send(self, moment: Moment) -> None:
        send = os.killpg if moment.group else os.kill
        send(self.process.pid, moment.signal)

    def over(self, limit: float) -> float:
        """The seconds until nothing of it is at work; AssertionError past the limit."""
        began = time.monotonic()
        while self.process.poll() is None or commands.members(self.process.pid):
            took = time.monotonic() - began
            assert took < limit, (self.process.poll(), self.said[-5:], self.errors[-9:])
            time.sleep(0.05)
        for reader in self.readers:
            reader.join(10)
        return time.monotonic() - began


def outputs(root: Path, outs: list[str]) -> dict[str, str]:
    """Digests of the files of outputs that are there; what is not in its place yet is left out."""
    found = {}
    for out in outs:
        path = root / out
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            name = str(file.relative_to(root))
            if file.is_file() and not SCRATCH.search(name):
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def left_over(root: Path) -> list[str]:
    """What was half-written and is there still, outside of DVC's and Git's own folders."""
    return [
        str(path.relative_to(root))
        for path in root.rglob("*.part")
        if path.relative_to(root).parts[0] not in (".dvc", ".git")
    ]
