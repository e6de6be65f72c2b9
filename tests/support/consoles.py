"""The commands of a documentation page, run as a reader would type them.

In a block marked `console` a line that begins with `$ ` is a command (a `\\` at its end continues
it), and the lines below it are what it prints. Each of those must come, in their order, though
not at once: numbers and digests may be others, and `...` alone stands for lines left out.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A command of a page, the line it stands in, and the lines it is said to print."""

    line: int
    text: str
    shows: list[str]


def commands(page: Path) -> list[Command]:
    """Every command of a page, top to bottom."""
    found: list[Command] = []
    inside, unfinished = False, False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            inside = line.strip() == "```console"
        elif inside and unfinished:
            last = found[-1]
            found[-1] = Command(last.line, last.text[:-1] + line.strip(), [])
            unfinished = line.endswith("\\")
        elif inside and line.startswith("$ "):
            found.append(Command(number, line[2:], []))
            unfinished = line.endswith("\\")
        elif inside and line.strip() not in ("", "..."):
            found[-1].shows.append(line)
    return found


def strays(page: Path) -> list[str]:
    """Lines that look like a command to be typed and stand in no `console` block.

    Nor in one that says that it is for machines which are not here: `bash elsewhere`.
    """
    found: list[str] = []
    block: str | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            block = line.strip().strip("`") if block is None else None
            shell = block in ("sh", "bash", "shell", "zsh", "shell-session", "console session")
            if shell or (block == "console" and line != "```console"):
                found.append(f"{number}: {line}")
        elif block != "console" and line.lstrip().startswith("$ "):
            found.append(f"{number}: {line}")
    return found


def masked(line: str) -> str:
    """A line without what differs from run to run: numbers, digests, the width of columns."""
    line = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b", "#", line)
    line = re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", line)
    return " ".join(line.split())


def missing(command: Command, printed: str) -> str | None:
    """The first line that a command should have printed and did not."""
    lines = iter([masked(line) for line in printed.splitlines()])
    for shown in command.shows:
        if masked(shown) not in lines:  # an iterator: each search goes on where the last ended
            return shown
    return None


def follow(page: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    """Run a page's commands, each in a shell of its own, and look for what the page shows.

    `run` is `Smoke.run` of the repository in which the reader stands. A command that is to fail is
    written with `|| true`, and what it says is shown.
    """
    steps = commands(page)
    assert steps, f"{page.name} has no command"
    for step in steps:
        done = run("bash", "-c", step.text, ok=False)
        printed = done.stdout + done.stderr
        where = f"{page.name}:{step.line}: {step.text}\n{printed[-3000:]}"
        assert done.returncode == 0, where
        assert missing(step, printed) is None, f"{missing(step, printed)!r} not printed by {where}"
