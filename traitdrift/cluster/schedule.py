"""Which stage begins when: ready ones at once, none twice, a lost one when it is surely dead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from traitdrift.cluster import keeper
from traitdrift.cluster.attempt import FOLDER, Outcome, lock_of, log_of
from traitdrift.cluster.graph import REPRO, Busy, Graph
from traitdrift.cluster.ray_cluster import Cluster, connected
from traitdrift.cluster.view import View
from traitdrift.provenance.repository import opened

ATTEMPTS = 3  # of a stage whose workers are lost: what always ends its node is the stage's fault
PAUSE = 5.0  # seconds before a stage that was busy is tried again
TICK = 0.5  # seconds between two looks at what runs

# What cannot change a result goes from this process to every node, if it is set here.
PASSED = ("LAUNCH", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "HF_HOME", "HF_HUB_OFFLINE")


class Schedule:
    """One run of a graph on a cluster."""

    def __init__(self, graph: Graph, cluster: Cluster, view: View):
        self.graph, self.cluster, self.view = graph, cluster, view
        for name, wanted in graph.resources.items():
            cluster.asked(name, wanted)  # before anything runs: what fits no node is an error
        self.env = {
            key: value
            for key, value in os.environ.items()
            if key in PASSED or key.startswith("TRAITDRIFT_")
        }
        self.todo = list(graph.stages)
        self.running: dict[Any, str] = {}  # task: stage
        self.asked: dict[str, dict[str, float]] = {}  # what Ray was asked for one that runs
        self.ending: set[str] = set()  # stages whose worker is lost and whose command may run on
        self.later: dict[str, float] = {}  # busy ones: when to try again
        self.losses: dict[str, int] = {}
        self.fine: set[str] = set()
        self.ran: list[str] = []
        self.failed: list[str] = []

    def run(self) -> None:
        """Run what is stale; on an interrupt nothing is left running."""
        try:
            while self.todo or self.running or self.ending:
                self.begin_ready()
                self.retry_dead()
                self.take_ended()
        finally:
            self.stop()
            self.graph.order_lock()

    def begin_ready(self) -> None:
        """Begin every stage whose needs are met, if DVC calls it stale."""
        for name in list(self.todo):
            if not self.graph.needs[name] <= self.fine or time.monotonic() < self.later.get(
                name, 0
            ):
                continue
            try:
                stale = self.graph.stale(name)
            except Busy as error:
                self.put_off(name, str(error))
                continue
            self.todo.remove(name)
            if stale:
                self.begin(name)
            else:
                self.fine.add(name)
                self.view.fine(name)

    def begin(self, name: str) -> None:
        again = name in self.losses
        # Anew each time: the node that was best may be gone.
        self.asked[name] = self.cluster.asked(name, self.graph.resources[name])
        arguments = (self.graph.root, name, (*REPRO, name), self.env, again)
        self.running[self.cluster.submit(self.asked[name], *arguments)] = name
        self.view.submitted(name)

    def retry_dead(self) -> None:
        """Begin lost stages again whose lock is free: all that their attempt started is dead."""
        for name in list(self.ending):
            if self.free(name):
                self.ending.remove(name)
                self.graph.forget(name)
                self.begin(name)

    def take_ended(self) -> None:
        """Wait a moment, and see what has ended and where the others are."""
        if not self.running:
            time.sleep(TICK if self.later or self.ending else 0)
            return
        for task in self.cluster.ended(self.running, TICK):
            name = self.running.pop(task)
            self.take(name, self.cluster.outcome(task))
        for task, name in list(self.running.items()):
            node = keeper.holder(lock_of(self.graph.root, name))
            self.view.runs(name, node)
            if not node and not self.cluster.fits(self.asked[name]):
                # The one node that had it is gone: Ray would wait for another like it.
                self.cluster.end(task)
                del self.running[task]
                self.begin(name)

    def take(self, name: str, outcome: Outcome) -> None:
        if outcome.state == "done":
            self.fine.add(name)
            self.ran.append(name)
            self.view.done(name, outcome.node)
        elif outcome.state == "busy":
            self.todo.append(name)
            self.put_off(name, outcome.told)
        elif outcome.state == "lost" and self.losses.get(name, 0) + 1 < ATTEMPTS:
            self.losses[name] = self.losses.get(name, 0) + 1
            self.ending.add(name)
            self.view.lost(name, outcome.told)
        else:
            log = log_of(self.graph.root, name).relative_to(self.graph.root)
            self.failed.append(name)
            self.view.failed(name, f"on {outcome.node}: {outcome.told} ({log})")
            self.leave_out(name)

    def put_off(self, name: str, why: str) -> None:
        self.later[name] = time.monotonic() + PAUSE
        self.view.put_off(name, why)

    def leave_out(self, name: str) -> None:
        """Leave out what needs a stage that failed."""
        without = {name}
        for other in self.graph.stages:  # in order: needs come first
            if self.graph.needs[other] & without and other in self.todo:
                without.add(other)
                self.todo.remove(other)
                self.view.left_out(other, name)

    def free(self, name: str) -> bool:
        """Whether no node runs a stage."""
        lock = keeper.claim(lock_of(self.graph.root, name))
        if lock is not None:
            os.close(lock)
        return lock is not None

    def stop(self) -> None:
        """End what runs, and wait until it has ended."""
        names = [*self.running.values(), *self.ending, *self.losses]
        for task in self.running:
            self.cluster.end(task)
        self.running.clear()
        while names:
            names = [name for name in names if not self.free(name)]
            self.view.stopping(names)
            if names:
                time.sleep(TICK)


def run(targets: Sequence[str], root: Path) -> str:
    """Bring targets of DVC up to date on the cluster; says what was done.

    ValueError if a stage failed; those that do not need it have run none the less.
    """
    with opened(root) as place, connected() as cluster:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job's time is over
        graph = Graph(place.repo, targets)
        (graph.root / FOLDER).mkdir(parents=True, exist_ok=True)
        with View(len(graph.stages)) as view:
            schedule = Schedule(graph, cluster, view)
            schedule.run()
        if schedule.failed:
            out = len(graph.stages) - len(schedule.fine) - len(schedule.failed)
            raise ValueError(
                f"failed: {', '.join(schedule.failed)}; {len(schedule.ran)} ran, {out} that need "
                f"what failed did not; the logs are in {FOLDER}"
            )
        ran = len(schedule.ran)
        return f"{ran} of {len(graph.stages)} stages ran, the others were up to date"
