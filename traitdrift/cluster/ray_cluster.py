"""The Ray cluster: connect to it, what its nodes have, a task for an attempt."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from traitdrift.cluster.attempt import Outcome, attempt
from traitdrift.cluster.graph import Resources

GB = 1e9
KEYS = ("CPU", "GPU", "memory")  # as Ray calls what a node has; in the order of what is asked
LATEST = Path("/tmp/ray/ray_current_cluster")  # where `ray start` leaves its address


class Cluster:
    """A cluster that this process is connected to; a task is known by Ray's reference."""

    def __init__(self, ray: Any):
        self._ray = ray
        self._run = ray.remote(max_retries=0)(attempt)

    @property
    def nodes(self) -> list[dict[str, float]]:
        """What each node that is alive has: CPU, GPU, memory (bytes)."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def asked(self, name: str, wanted: Resources) -> dict[str, float]:
        """What to ask Ray for a stage: no more cores and GPUs than the best node has.

        A model runs on a CPU where there is no GPU, here as anywhere. ValueError if no node has the
        memory.
        """
        nodes = self.nodes
        cpus, gpus, memory = (max(node.get(key, 0) for node in nodes) for key in KEYS)
        asked = {
            "num_cpus": min(wanted.cpus, cpus),
            "num_gpus": min(wanted.gpus, gpus),
            "memory": wanted.memory * GB,
        }
        if not self.fits(asked):
            raise ValueError(
                f"dvc.yaml: stage {name}: no node has {asked['num_cpus']:g} CPUs, "
                f"{asked['num_gpus']:g} GPUs and meta.memory {wanted.memory:g} GB together (the "
                f"most memory is {memory / GB:.3g} GB); add a node, or lower `meta`"
            )
        return asked

    def fits(self, asked: dict[str, float]) -> bool:
        """Whether some node that is alive has what is asked, free or not."""
        amounts = asked.values()
        return any(
            all(node.get(key, 0) >= amount for key, amount in zip(KEYS, amounts, strict=True))
            for node in self.nodes
        )

    def submit(self, asked: dict[str, float], *arguments: Any) -> Any:
        """Begin `attempt(*arguments)` on a node that has what is asked."""
        return self._run.options(**asked).remote(*arguments)

    def ended(self, tasks: Iterable[Any], seconds: float) -> list[Any]:
        """Those of some tasks that have ended; waits for the first of them, and no longer than."""
        return list(self._ray.wait(list(tasks), timeout=seconds)[0])

    def outcome(self, task: Any) -> Outcome:
        """What became of a task that has ended, also if its worker or node did."""
        try:
            return Outcome(*self._ray.get(task))
        except self._ray.exceptions.RayTaskError as error:  # raised by `attempt` itself
            return Outcome("failed", "its node", str(error.cause).splitlines()[0])
        except self._ray.exceptions.RayError as error:
            return Outcome("lost", "its node", type(error).__name__)

    def end(self, task: Any) -> None:
        """End the worker of a task; its keeper sees that and ends the command."""
        self._ray.cancel(task, force=True)


@contextmanager
def connected() -> Iterator[Cluster]:
    """The cluster that RAY_ADDRESS names, or the one that was begun last on this machine.

    ModuleNotFoundError without Ray, ValueError if there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    import ray

    address = os.environ.get("RAY_ADDRESS", "")
    if not address and LATEST.exists():
        address = LATEST.read_text().strip()
    try:
        if address:
            # Ray itself tries for more than a minute.
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address or "auto", log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError) as error:
        why = f"at {address}: {error}" if address else "on this machine"
        raise ValueError(
            f"no Ray cluster {why}; begin one by `ray start --head` here and `ray start "
            "--address=HOST:6379` on each other machine, or name one by RAY_ADDRESS=HOST:PORT"
        )
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()
