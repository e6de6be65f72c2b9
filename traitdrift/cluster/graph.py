"""The stages that `dvc repro` would look at, by DVC itself: order, needs, staleness, the lock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from traitdrift.core.files import write_text

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

# A stage's command line, here and in what DVC writes down about who reads and writes what.
REPRO = ("--wait-for-lock", "repro", "--single-item")


class Resources(BaseModel):
    """What a stage asks of a node, by `meta` in dvc.yaml; other keys there are other people's."""

    model_config = ConfigDict(extra="ignore")

    cpus: float = Field(1, gt=0)
    gpus: float = Field(0, ge=0)
    memory: float = Field(0, ge=0)  # GB


class Busy(Exception):
    """Another process works on the files of a stage; to be tried later."""


class Graph:
    """The stages behind some targets, in the order in which `dvc repro` runs them.

    Targets are those of `dvc repro`; none means all of dvc.yaml.
    """

    def __init__(self, repo: Repo, targets: Sequence[str] = ()):
        from dvc.dvcfile import PROJECT_FILE
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        self.repo, self.root = repo, Path(repo.root_dir)
        graph = get_active_graph(repo.index.graph)
        wanted = {*plan_repro(graph, collect_stages(repo, targets or [PROJECT_FILE]))}
        # Of a part of the graph DVC's own order differs from call to call; of the whole, never.
        self.stages: dict[str, Stage] = {
            stage.addressing: stage for stage in plan_repro(graph) if stage in wanted
        }
        self.needs: dict[str, set[str]] = {
            name: {other.addressing for other in graph.successors(stage)}
            for name, stage in self.stages.items()
        }
        self.resources = {name: _resources(stage) for name, stage in self.stages.items()}
        self._recorded = list(self._lock_text()[1].get("stages", {}))

    def stale(self, name: str) -> bool:
        """Whether `dvc repro` would run a stage now; what it needs must be up to date.

        Busy if somebody writes what it reads or makes.
        """
        from dvc.lock import LockError

        try:
            with held(self.repo):
                return bool(self.stages[name].changed())
        except LockError as error:
            raise Busy(str(error).splitlines()[0].split(", it is")[0])

    def forget(self, name: str) -> None:
        """Remove what a process that is dead has left in DVC's list of readers and writers.

        DVC does so where no process has that number, but asks its own machine, where one may.
        """
        from dvc import rwlock

        def dead(info: dict[str, str]) -> bool:
            return info.get("cmd", "").endswith(" ".join((*REPRO, name)))

        hardlink = self.repo.config["core"].get("hardlink_lock", False)
        with (
            held(self.repo),
            rwlock._edit_rwlock(self.repo.tmp_dir, self.repo.fs, hardlink) as listed,
        ):
            for path in [path for path, info in listed["write"].items() if dead(info)]:
                del listed["write"][path]
            for path, infos in [*listed["read"].items()]:
                listed["read"][path] = [info for info in infos if not dead(info)]
                if not listed["read"][path]:
                    del listed["read"][path]

    def order_lock(self) -> None:
        """Give dvc.lock the order of a serial run.

        DVC appends a stage when it has run: what was there keeps its place, and what is new comes
        in the order of the graph, not of completion.
        """
        from dvc.utils.serialize import dumps_yaml

        with held(self.repo):
            text, lock = self._lock_text()
            if not text:
                return
            present = list(lock["stages"])
            names = [getattr(stage, "name", name) for name, stage in self.stages.items()]
            order = [name for name in self._recorded if name in present]
            order += [name for name in names if name in present and name not in order]
            order += [name for name in present if name not in order]
            if order != present:
                lock["stages"] = {name: lock["stages"][name] for name in order}
                write_text(self.root / "dvc.lock", dumps_yaml(lock))

    def _lock_text(self) -> tuple[str, dict[str, Any]]:
        from dvc.utils.serialize._yaml import parse_yaml_for_update

        path = self.root / "dvc.lock"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return text, parse_yaml_for_update(text, path) if text else {}


@contextmanager
def held(repo: Repo, pause: float = 0.5) -> Iterator[None]:
    """DVC's lock of the repository, waited for: whoever holds it hashes files."""
    from dvc.lock import LockError

    while True:
        try:
            repo.lock.lock()
            break
        except LockError:
            time.sleep(pause)
    try:
        yield
    finally:
        repo.lock.unlock()


def _resources(stage: Stage) -> Resources:
    try:
        return Resources.model_validate(getattr(stage, "meta", None) or {})
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(
            f"dvc.yaml: stage {stage.addressing}: meta.{fault['loc'][0]} is {fault['input']!r}: "
            f"{fault['msg'].lower()}; cpus, gpus and memory (GB) are numbers"
        )
