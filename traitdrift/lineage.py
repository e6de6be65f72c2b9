"""Where a result came from: what dvc.lock says of every stage, and the way back from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML


class File(BaseModel):
    """A file or folder as a stage read or wrote it: DVC's digest (of a folder: ends in `.dir`)."""

    model_config = ConfigDict(frozen=True)

    path: str
    digest: str
    size: int


class Step(BaseModel):
    """A stage as it last ran: command, what it read, parameters with values, what it wrote."""

    model_config = ConfigDict(frozen=True)

    name: str
    command: str
    reads: list[File]
    params: dict[str, Any]
    writes: list[File]


def read_lock(text: str) -> dict[str, Step]:
    """The stages in the text of a dvc.lock, by name (`compare@insecure`), in the file's order."""
    stages = (YAML(typ="safe", pure=True).load(text) or {}).get("stages", {})

    def files(entries: list[dict[str, Any]]) -> list[File]:
        return [File(path=e["path"], digest=e["md5"], size=e["size"]) for e in entries]

    return {
        name: Step(
            name=name,
            command=stage["cmd"],
            reads=files(stage.get("deps", [])),
            params={
                key: value
                for values in stage.get("params", {}).values()
                for key, value in values.items()
            },
            writes=files(stage.get("outs", [])),
        )
        for name, stage in stages.items()
    }


def holds(folder: str, path: str) -> bool:
    """Whether a path is this one or lies in it."""
    return Path(path) == Path(folder) or Path(folder) in Path(path).parents


def makers(steps: dict[str, Step], path: str) -> list[Step]:
    """The stages that wrote a path, a folder it lies in, or something in it."""
    return [
        step
        for step in steps.values()
        if any(holds(out.path, path) or holds(path, out.path) for out in step.writes)
    ]


def upstream(steps: dict[str, Step], path: str) -> dict[str, Step]:
    """Every stage that had a part in a path, each after those it read from.

    Raises ValueError where no stage makes the path.
    """
    found: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.name not in found:
            for file in step.reads:
                for maker in makers(steps, file.path):
                    visit(maker)
            found[step.name] = step

    for maker in makers(steps, path):
        visit(maker)
    if not found:
        raise ValueError(f"{path}: no stage makes this; `dvc stage list` says what is made")
    return found


def lock_at(root: Path) -> dict[str, Step]:
    """The stages of the workspace's dvc.lock."""
    path = root / "dvc.lock"
    if not path.exists():
        raise ValueError(f"{path}: missing; run `dvc repro`")
    return read_lock(path.read_text(encoding="utf-8"))
