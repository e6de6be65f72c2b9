"""dvc.lock as steps and files, at a commit or in the workspace."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from traitdrift.core.yaml_text import parse_yaml
from traitdrift.provenance.repository import Place

MOST_VALUES = 5_000_000  # of thousands of stages


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
    """The stages in the text of a dvc.lock, by name (`compare@insecure`), in the file's order.

    Raises ValueError where it is no lock of DVC's.
    """
    try:
        stages = (parse_yaml(text, "dvc.lock", MOST_VALUES) or {}).get("stages", {}).items()
    except (ValueError, AttributeError):
        raise ValueError(
            "dvc.lock: not as DVC writes it (left by a merge?); "
            "`git checkout HEAD -- dvc.lock`, then `dvc repro`"
        )

    def files(entries: list[dict[str, Any]]) -> list[File]:
        return [File(path=e["path"], digest=e["md5"], size=e["size"]) for e in entries]

    steps = {}
    for name, stage in stages:
        try:
            steps[name] = Step(
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
        except (KeyError, TypeError, AttributeError, ValidationError):
            raise ValueError(
                f"dvc.lock: stage {name} is not as DVC writes it; `git checkout HEAD -- dvc.lock`, "
                "then `dvc repro`"
            )
    return steps


def holds(folder: str, path: str) -> bool:
    """Whether a path is this one or lies in it; both as DVC writes them, from the root."""
    return folder == "." or path == folder or path.startswith(f"{folder}/")


def related(one: str, other: str) -> bool:
    """Whether two paths are the same or one lies in the other."""
    return holds(one, other) or holds(other, one)


def makers(steps: dict[str, Step], path: str) -> list[Step]:
    """The stages that wrote a path, a folder it lies in, or something in it."""
    path = posixpath.normpath(path)
    return [step for step in steps.values() if any(related(out.path, path) for out in step.writes)]


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


def lock_of(place: Place) -> dict[str, Step]:
    """The stages of a repository's dvc.lock, of the workspace or a revision."""
    text = place.text("dvc.lock")
    if text is None:
        raise ValueError(f"dvc.lock: missing {place}; `dvc repro` makes it")
    return read_lock(text)
