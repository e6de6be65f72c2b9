"""Why `dvc repro` would run a stage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from traitdrift.provenance.closure import is_source
from traitdrift.provenance.lockfile import Step, lock_of, related
from traitdrift.provenance.repository import Place, opened

if TYPE_CHECKING:
    from dvc.dependency.param import ParamsDependency
    from dvc.output import Output
    from dvc.stage import Stage


class Explained(BaseModel):
    """A stage that would run: what of its own changed, and which stages before it would run."""

    model_config = ConfigDict(frozen=True)

    stage: str
    changes: list[str]  # empty where it runs only if a stage before it writes something else
    upstream: list[str]

    @property
    def reasons(self) -> list[str]:
        """One line a reason."""
        after = [f"upstream: {', '.join(self.upstream)}"] if self.upstream else []
        return self.changes + after


def explain(root: Path = Path("."), allow_missing: bool = False) -> list[Explained]:
    """The stages that `dvc repro` would run, in its order, each with its reasons.

    A stage with changes of its own runs; one with `upstream` alone runs unless what is before it
    comes out as it was: an input that its maker will write anew is no change of its own.

    With `allow_missing`, as in `dvc repro --allow-missing`, data that is not here counts as
    unchanged.
    """
    with opened(root) as place:
        from dvc.repo.reproduce import get_active_graph, plan_repro

        recorded = lock_of(place) if place.text("dvc.lock") is not None else {}
        graph = get_active_graph(place.repo.index.graph)
        wanted = [stage for stage in place.repo.index.stages if stage.cmd]
        found: dict[Stage, Explained] = {}
        for stage in plan_repro(graph, wanted):
            before = set(graph.successors(stage))
            upstream = [one.stage for other, one in found.items() if other in before]
            changes = list(_changes(place, recorded, stage, upstream, allow_missing))
            if changes or upstream:
                found[stage] = Explained(stage=_name(stage), changes=changes, upstream=upstream)
        return list(found.values())


def _name(stage: Stage) -> str:
    """A stage's name, or the path of the `.dvc` file that brings in data."""
    return getattr(stage, "name", None) or stage.path_in_repo


def _changes(
    place: Place,
    recorded: dict[str, Step],
    stage: Stage,
    upstream: list[str],
    allow_missing: bool,
) -> Iterator[str]:
    """What DVC finds changed of a stage itself, in words."""
    step = recorded.get(_name(stage))
    if stage.cmd and step is None:
        yield "has never run"
        return
    if stage.changed_stage():
        edited = f"{stage.path_in_repo} was edited"  # a `.dvc` file, which has no command
        yield f"command: {step.command} -> {stage.cmd}" if step else edited
    if not stage.frozen:
        if stage.is_callback or stage.always_changed:
            yield "always runs: it has no dependencies, or dvc.yaml says so"
        for dep in stage.deps:
            if dep in stage.params:
                yield from _parameters(dep)
            elif status := _status(dep):
                made = [name for name, out in _related(place, dep) if out.stage.cmd]
                lacking = allow_missing and status == "deleted" and _as_written(place, dep)
                anew = dep.hash_info and set(made) & set(upstream)
                if not lacking and not anew:
                    yield _file(place, dep, status, made)
    for out in stage.outs:
        status = _status(out)
        if status and not (allow_missing and status in ("deleted", "not in cache")):
            yield _output(place, out, status)


def _status(entry: Output) -> str | None:
    """DVC's word for what has become of a file: modified, deleted, new, not in cache."""
    return next(iter(entry.status().values()), None)


def _as_written(place: Place, dep: Output) -> bool:
    """Whether a file that is not here was read as its maker last wrote it."""
    made = place.outputs.get(place.path_of(dep))
    return made is None or made.hash_info == dep.hash_info


def _parameters(dep: ParamsDependency) -> Iterator[str]:
    recorded, now = dep.hash_info.value or {}, dep.read_params()
    for status in dep.status().values():
        # Of a file that is gone DVC says so in one word.
        for name in dep.params if isinstance(status, str) else status:
            if name not in now:
                yield f"parameter {name}: {shown(recorded.get(name))} -> removed"
            elif name not in recorded:
                yield f"parameter {name}: not read before, now {shown(now[name])}"
            else:
                for key, old, new in differences(name, recorded[name], now[name]):
                    yield f"parameter {key}: {old} -> {new}"


def _related(place: Place, dep: Output) -> Iterator[tuple[str, Output]]:
    """What present stages make of a file that is read, or in a folder that is."""
    for path, out in place.outputs.items():
        if related(path, place.path_of(dep)):
            yield _name(out.stage), out


def _file(place: Place, dep: Output, status: str, made: list[str]) -> str:
    path = place.path_of(dep)
    kind = "code" if is_source(path) else "data"
    if not dep.hash_info:
        return f"{kind}: {path} was not read before"
    if status == "deleted":
        kept = place.keeps(path, dep.hash_info.value)
        return f"{kind}: {path} is not here" + ("; `dvc pull` fetches it" if kept else "")
    return f"{kind}: {path} changed" + (f" since ({', '.join(made)} wrote it)" if made else "")


def _output(place: Place, out: Output, status: str) -> str:
    path = place.path_of(out)
    if status == "deleted":
        kept = out.use_cache and place.cached(out.hash_info.value)
        return f"output: {path} is not here" + ("; `dvc checkout` has it" if kept else "")
    if status == "not in cache":
        return f"output: {path} is not in the cache; `dvc pull` or `dvc commit` puts it there"
    return f"output: {path} " + ("is new" if status == "new" else "is not as it was written")


def differences(name: str, old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    """The single values in which two values differ: dotted key, old and new as text."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if key not in new:
                yield f"{name}.{key}", shown(old[key]), "removed"
            elif key not in old:
                yield f"{name}.{key}", "absent", shown(new[key])
            else:
                yield from differences(f"{name}.{key}", old[key], new[key])
    elif old != new:
        yield name, shown(old), shown(new)


def shown(value: Any) -> str:
    """A value as one line of text."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
