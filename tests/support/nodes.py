"""A real Ray cluster of two nodes on this machine, and a pipeline of small stages for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import commands
import psutil
from copies import ROOT

# What a node and the command `cluster` run in: nothing is told to anybody, and a node that dies is
# missed in seconds.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}

# A stage: it tells a journal when it begins and ends, on which node, and who else does the same.
STEP = """\
import glob, os, pathlib, sys, time
name, seconds, *reads = sys.argv[1:]
def twins():
    found = 0
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = pathlib.Path(path).read_text().split(chr(0))
        except OSError:
            continue
        found += words[1:3] == ["step.py", name]
    return found - 1
def note(what):
    node = os.environ.get("NODE", "-")
    with open("journal", "a") as file:
        file.write(f"{what} {name} {os.getpid()} {node} {twins()}" + chr(10))
note("begin")
if pathlib.Path(f"fail-{name}").exists():
    sys.exit("no such luck")
if pathlib.Path("slow").exists():
    time.sleep(float(seconds))
parts = [pathlib.Path("out", other).read_text() for other in reads]
pathlib.Path("out", name).write_text(name + "".join(parts))
note("end")
"""

PIPELINE = """\
stages:
  last:
    cmd: python step.py last 0 long mid-a mid-b
    deps: [step.py, out/long, out/mid-a, out/mid-b]
    outs: [out/last]
  first:
    cmd: python step.py first 0
    deps: [step.py]
    outs: [out/first]
  long:
    cmd: python step.py long 30 first
    meta: {cpus: 2}
    deps: [step.py, out/first]
    outs: [out/long]
  mid:
    foreach: [b, a]
    do:
      cmd: python step.py mid-${item} 6 first
      meta: {gpus: 1}
      deps: [step.py, out/first]
      outs: ["out/mid-${item}": {cache: false}]
  apart:
    cmd: (sleep 300; echo late > out/late) & python step.py apart 0
    deps: [step.py]
    outs: [out/apart]
"""


class Node:
    """A node begun by `ray start`, with all its processes."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self.session = process.pid

    def raylet(self) -> psutil.Process:
        processes = map(psutil.Process, commands.members(self.session))
        return next(one for one in processes if one.name() == "raylet")

    def kill(self) -> None:
        """As if its power went: no process of the node is asked."""
        self.raylet().send_signal(signal.SIGKILL)


class Cluster:
    def __init__(self, folder: Path):
        self._folder, self._open = folder, contextlib.ExitStack()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    def start(self, name: str, *arguments: str) -> Node:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *arguments]
        command += ["--disable-usage-stats", "--node-ip-address=127.0.0.1"]
        command += ["--object-store-memory=80000000"]
        log = (self._folder / "log").open("ab")
        process = self._open.enter_context(
            commands.started(command, env={**ENVIRONMENT, "NODE": name}, stdout=log, stderr=log)
        )
        return Node(process)

    def head(self, cpus: int = 1) -> Node:
        port = self.address.split(":")[1]
        options = f"--head --port={port} --num-cpus={cpus} --include-dashboard=false".split()
        return self.start("head", *options, f"--temp-dir={self._folder}")

    def second(self, cpus: int = 2) -> Node:
        return self.start("second", f"--address={self.address}", f"--num-cpus={cpus}")

    def close(self) -> None:
        self._open.close()


class Toy:
    """A repository with that pipeline."""

    def __init__(self, path: Path, address: str = ""):
        self.path = path
        self.env = {**ENVIRONMENT, "RAY_ADDRESS": address}

    def started(self, *targets: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """`python -m traitdrift cluster`, at work while the `with` lasts."""
        command = [sys.executable, "-m", "traitdrift", "cluster", *targets]
        options = {"cwd": self.path, "env": self.env, "text": True}
        return commands.started(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
        )

    def run(self, *targets: str, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "traitdrift", "cluster", *targets]
        return commands.run(command, cwd=self.path, env=self.env, seconds=seconds)

    def dvc(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        return commands.run(command, cwd=self.path, check=True).stdout

    def journal(self, what: str, name: str = "") -> list[tuple[str, int, str, int]]:
        """Stage, process, node and twins of what the stages have told."""
        path = self.path / "journal"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [
            (one, int(pid), node, int(twins))
            for told, one, pid, node, twins in lines
            if told == what and name in ("", one)
        ]

    def at_work(self) -> list[psutil.Process]:
        """The processes that stand in the repository: stages, DVC, the command itself."""
        found = []
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if one.cwd() == str(self.path) and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def write(self, name: str, text: str = "") -> None:
        (self.path / name).write_text(text)

    def begin(self) -> Toy:
        """Make the repository."""
        (self.path / "out").mkdir(parents=True)
        ignored = "/out/*\n!/out/.gitignore\n/journal\n/slow\n/fail-*\n"
        files = {"dvc.yaml": PIPELINE, "step.py": STEP, ".gitignore": ignored, "out/.gitignore": ""}
        for name, text in files.items():
            self.write(name, text)
        for command in ("init --quiet", "config user.name tests", "config user.email t@localhost"):
            commands.run(["git", *command.split()], cwd=self.path, check=True)
        self.dvc("init", "--quiet")
        for command in ("add --all", "commit --quiet --message toy"):
            commands.run(["git", *command.split()], cwd=self.path, check=True)
        return self


def alive(address: str) -> int:
    """How many nodes a cluster has, by its own word."""
    code = (
        "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR'); "
        "print(sum(node['Alive'] for node in ray.nodes()))"
    )
    done = commands.run([sys.executable, "-c", code, address], env=ENVIRONMENT, seconds=60)
    return int(done.stdout) if done.returncode == 0 else 0


def wait(until: Callable[[], object], seconds: float = 60) -> None:
    last = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < last, f"not within {seconds} s"
        time.sleep(0.1)
