"""One attempt at a stage, on the node where Ray puts it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from traitdrift.cluster import keeper

FOLDER = Path(".dvc/tmp/cluster")  # of the repository: seen by all nodes, and not by git


class Outcome(NamedTuple):
    """What became of an attempt: `busy` is to be tried later, `lost` is the end of its keeper."""

    state: Literal["done", "busy", "failed", "lost"]
    node: str
    told: str = ""


def lock_of(root: Path, name: str) -> Path:
    return root / FOLDER / f"{_file(name)}.lock"


def log_of(root: Path, name: str) -> Path:
    return root / FOLDER / f"{_file(name)}.log"


def _file(name: str) -> str:
    return re.sub(r"[^\w@.-]", "_", name)


def attempt(
    root: Path, name: str, command: tuple[str, ...], env: Mapping[str, str], again: bool
) -> Outcome:
    """Run `dvc COMMAND` for a stage, unless it runs already; `again` keeps what its log says.

    The node's own Python runs it, with `env` over the node's environment.
    """
    lock, log = lock_of(root, name), log_of(root, name)
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
    program = [sys.executable, keeper.__file__, str(lock), str(log), "again" if again else "first"]
    begin = log.stat().st_size if again and log.exists() else 0
    process = subprocess.Popen(
        [*program, sys.executable, "-m", "dvc", *command],
        cwd=root,
        env={**os.environ, **env, "PATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    with process.stdin, process.stdout:
        said = process.stdout.read()
    process.wait()
    node = socket.gethostname()
    if not said:
        keeper.end(process.pid)  # the session that it led
        return Outcome("lost", node, "the process that watched it was killed")
    result = json.loads(said)
    if "busy" in result:
        return Outcome("busy", node, result["busy"])
    if "error" in result:
        return Outcome("failed", node, result["error"])
    if result["code"] == 0:
        return Outcome("done", node)
    return failure(log.read_bytes()[begin:].decode(errors="replace"), node)


def failure(log: str, node: str) -> Outcome:
    """What a log says of the end: DVC's own error only if the command has said nothing."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", log)]
    for line in lines:
        if line.startswith("ERROR:") and ("is busy, it is being" in line or "acquire lock" in line):
            return Outcome("busy", node, line.removeprefix("ERROR: ").split(", it is")[0])
    own = [line for line in lines if line and not re.match(r"(ERROR: |[>#] |Running stage )", line)]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return Outcome("failed", node, (own or errors or ["no word of why"])[-1])
