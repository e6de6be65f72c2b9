"""What cells that dvc.yaml no longer has left behind in dvc.lock and the workspace."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from traitdrift.core.files import write_text
from traitdrift.provenance.lockfile import File, Step, holds, lock_of, related
from traitdrift.provenance.repository import Place, opened


class LeftOver(BaseModel):
    """A stage that is in dvc.lock and not in dvc.yaml."""

    model_config = ConfigDict(frozen=True)

    stage: str
    removed: list[str]  # outputs that go with it
    edited: list[str]  # those of them that are no longer as the stage wrote them
    only_here: list[str]  # those that neither the cache nor the last commit has
    kept: dict[str, str]  # outputs that stay, and why
    reruns: list[str]  # present stages that read a folder in which a removed output lies


def left_overs(root: Path = Path(".")) -> list[LeftOver]:
    """Stages gone from dvc.yaml, with the outputs of theirs that are still in the workspace."""
    with opened(root) as place, opened(root, "HEAD") as head:
        return _left_overs(place, head)


def prune(stages: list[str], root: Path = Path(".")) -> None:
    """Remove these stages, gone from dvc.yaml, from dvc.lock, and their outputs here.

    What was cached stays in the cache; every other entry of dvc.lock keeps its bytes.
    """
    from dvc.utils.serialize import dumps_yaml
    from dvc.utils.serialize._yaml import parse_yaml_for_update

    with opened(root) as place, opened(root, "HEAD") as head, place.repo.lock:
        found = [one for one in _left_overs(place, head) if one.stage in stages]
        # Files first: what fails half-way can be repeated as long as the lock names it.
        for path in sorted({path for one in found for path in one.removed}):
            target = Path(place.repo.root_dir) / path
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)  # it may lie in a folder that has just gone
        lock = parse_yaml_for_update(place.text("dvc.lock"), "dvc.lock")
        for one in found:
            del lock["stages"][one.stage]
        write_text(Path(place.repo.root_dir) / "dvc.lock", dumps_yaml(lock))


def _left_overs(place: Place, head: Place) -> list[LeftOver]:
    return [
        _left_over(place, head, step)
        for name, step in lock_of(place).items()
        if name not in place.stages
    ]


def _left_over(place: Place, head: Place, step: Step) -> LeftOver:
    here = [file for file in step.writes if place.digest(file.path)]
    kept = {file.path: why for file in here if (why := _why_kept(place, file.path))}
    removed = [file for file in here if file.path not in kept]
    return LeftOver(
        stage=step.name,
        removed=[file.path for file in removed],
        edited=[file.path for file in removed if place.digest(file.path) != file.digest],
        only_here=[
            file.path
            for file in removed
            if not place.cached(file.digest) and head.digest(file.path) != file.digest
        ],
        kept=kept,
        reruns=_readers(place, removed),
    )


def _why_kept(place: Place, path: str) -> str | None:
    """Why an output must stay: something present makes or reads it, or it lies outside."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or not parts or ".." in parts or parts[0] in (".git", ".dvc"):
        return "outside the workspace"
    for out, output in place.outputs.items():
        if related(out, path):
            return f"{getattr(output.stage, 'name', None) or output.stage.path_in_repo} makes {out}"
    for name, stage in place.stages.items():
        for dep in stage.deps:
            if holds(path, place.path_of(dep)):
                return f"{name} reads {place.path_of(dep)}"
    return None


def _readers(place: Place, files: list[File]) -> list[str]:
    """The present stages that read a folder in which one of the files lies."""
    return [
        name
        for name, stage in place.stages.items()
        if any(holds(place.path_of(dep), file.path) for dep in stage.deps for file in files)
    ]
