"""Where a result came from: what dvc.lock says of every stage, the way back from a file, and
whether each link of that way still holds."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, computed_field

from traitdrift.core.safetensors_header import LONGEST, read_metadata
from traitdrift.core.strict_json import json_object_of
from traitdrift.provenance.closure import is_source
from traitdrift.provenance.dotted_keys import look_up
from traitdrift.provenance.lockfile import File, Step, holds, lock_of, makers, related, upstream
from traitdrift.provenance.repository import Place, opened

# same: as recorded. not here: the bytes are not, and need not be, only their record.
# not as written: a stage read another digest than the one that its maker wrote.
# not recorded: dvc.yaml names it now, and the stage has not run since.
State = Literal["same", "not here", "differs", "missing", "not as written", "not recorded"]
HOLDS = ("same", "not here")
Kind = Literal["command", "parameter", "code", "raw", "input", "output"]


class Link(BaseModel):
    """One thing that a stage's result rests on: as recorded, and as it is found."""

    model_config = ConfigDict(frozen=True)

    step: str
    kind: Kind
    name: str
    recorded: Any
    found: Any
    state: State
    note: str = ""
    workspace: State | None = None  # of a revision's link: whether the workspace has the same

    @property
    def holds(self) -> bool:
        return self.state in HOLDS


class Weights(BaseModel):
    """The models that a file says it is, or is made by: SHA-256 over the weights' tensors."""

    model_config = ConfigDict(frozen=True)

    path: str
    model: str | None = None
    base_digest: str
    adapter_digest: str | None = None


class Trace(BaseModel):
    """A file or one of its values: the stages behind it, each after those it reads from."""

    path: str
    key: str | None = None
    value: Any = None
    digest: str | None = None
    rev: str | None = None
    commit: str | None = None
    ends: list[str]  # the stages that made the path itself
    steps: dict[str, Step]
    links: list[Link]
    weights: list[Weights]

    @computed_field  # type: ignore[prop-decorator]  # pydantic takes a property, mypy no decorator
    @property
    def holds(self) -> bool:
        """Whether every link does."""
        return all(link.holds for link in self.links)

    def of(self, step: str, *kinds: str) -> list[Link]:
        """A stage's links of some kinds."""
        return [link for link in self.links if link.step == step and link.kind in kinds]


def trace(target: str, root: Path = Path("."), rev: str | None = None) -> Trace:
    """Trace `PATH` or `PATH:KEY` back to raw files, parameters, code and commands.

    PATH is any file or folder that stages make, or a file in such a folder, as seen from `root`,
    a folder of the repository; KEY is the dotted name of a value in a JSON file; `rev` a commit,
    branch, tag or experiment, whose own tree is then held against its own dvc.lock.

    Raises ValueError where there is nothing to trace.
    """
    with opened(root) as here, opened(root, rev) if rev else nullcontext(here) as place:
        recorded = lock_of(place)
        path, key = _parted(target, lambda one: here.path_from(root, one), place, recorded)
        steps = upstream(_without_left_overs(recorded, place, path), path)
        ends = makers(steps, path)
        digest = _digest(place, ends, path)
        links = [
            _in(here, link) if rev else link
            for step in steps.values()
            for link in _links(place, steps, step, path if step in ends else None)
        ]
        return Trace(
            path=path,
            key=key,
            value=None if key is None else _value(place, path, digest, key),
            digest=digest or None,
            rev=place.rev,
            commit=place.commit,
            ends=[step.name for step in ends],
            steps=steps,
            links=links,
            weights=list(_weights(place, links)),
        )


def _parted(
    target: str, from_root: Callable[[str], str], place: Place, steps: dict[str, Step]
) -> tuple[str, str | None]:
    """The path and the key of a target; either may hold a colon."""
    colons = [i for i, letter in enumerate(target) if letter == ":"]
    choices: list[tuple[str, str | None]] = [(from_root(target), None)]
    choices += [(from_root(target[:i]), target[i + 1 :]) for i in reversed(colons)]
    unsure = None
    for path, key in choices:
        made = makers(steps, path)
        inside = _digest(place, made, path)
        whole = any(holds(path, file.path) for step in made for file in step.writes)
        if inside or whole or (made and place.digest(path)):
            return path, key
        if made and inside is None:
            unsure = (path, key)  # in a folder whose list is not here: the shortest path will do
    return unsure or _refuse(choices[-1][0], place, steps)


def _refuse(path: str, place: Place, steps: dict[str, Step]) -> NoReturn:
    """Say why there is no way back from a path."""
    if made := makers(steps, path):
        raise ValueError(f"{path}: not in what {made[0].name} wrote; `ls {Path(path).parent}`")
    for out, output in place.outputs.items():
        if related(out, path) and output.stage.cmd:
            name = output.stage.name
            raise ValueError(
                f"{path}: {name} makes this and has not run {place}; `dvc repro {name}`"
            )
    near = difflib.get_close_matches(path, place.outputs, n=1)
    meant = f" (is {near[0]} meant?)" if near else ""
    raise ValueError(
        f"{path}: no stage makes this {place}{meant}; `dvc stage list` says what is made"
    )


def _without_left_overs(steps: dict[str, Step], place: Place, target: str) -> dict[str, Step]:
    """The lock without cells gone from dvc.yaml, save those that the target was made from.

    What they left in a folder does not make them a part of what a present stage reads there.
    """
    kept = {name for name in steps if name in place.stages}
    while True:
        read = {file.path for name in kept for file in steps[name].reads} | {target}
        more = {
            name
            for name, step in steps.items()
            if name not in kept
            and any(holds(out.path, path) for out in step.writes for path in read)
        }
        if not more:
            return {name: step for name, step in steps.items() if name in kept}
        kept |= more


def _digest(place: Place, ends: list[Step], path: str) -> str | None:
    """The recorded digest of a path; None where it is not known, "" where it is in no folder."""
    for out in (out for step in ends for out in step.writes):
        if out.path == path:
            return out.digest
        if holds(out.path, path):
            return place.inside(out.path, out.digest, path)
    return None


def _links(place: Place, steps: dict[str, Step], step: Step, target: str | None) -> Iterator[Link]:
    """Everything a stage's result rests on, and what it wrote of the target."""
    yield _link(place, step.name, "command", "command", step.command)
    for name, value in step.params.items():
        yield _link(place, step.name, "parameter", name, value)
    for file in step.reads:
        made = makers(steps, file.path)
        link = _link(place, step.name, "input" if made else _source(file.path), *_recorded(file))
        for maker, digest in _otherwise_written(place, made, file):
            note = f"{maker} wrote {digest or 'nothing of that name'}"
            link = link.model_copy(update={"state": "not as written", "note": note})
        yield link
    yield from _since(place, step)
    for file in step.writes:
        if target is not None and related(file.path, target):
            yield _link(place, step.name, "output", *_recorded(file))


def _recorded(file: File) -> tuple[str, str]:
    return file.path, file.digest


def _source(path: str) -> Literal["code", "raw"]:
    return "code" if is_source(path) else "raw"


def _otherwise_written(place: Place, made: list[Step], file: File) -> Iterator[tuple[str, str]]:
    """The makers of a file that wrote another digest than the one that was read."""
    wrote: str | None
    read: str | None
    for maker in made:
        for out in maker.writes:
            if out.path == file.path:
                wrote, read = out.digest, file.digest
            elif holds(out.path, file.path):
                wrote, read = place.inside(out.path, out.digest, file.path), file.digest
            elif holds(file.path, out.path):
                wrote, read = out.digest, place.inside(file.path, file.digest, out.path)
            else:
                continue
            if wrote is not None and read is not None and wrote != read:
                yield maker.name, wrote


def _since(place: Place, step: Step) -> Iterator[Link]:
    """What dvc.yaml has had the stage read since it last ran."""
    stage = place.stages.get(step.name)
    if stage is None:
        return
    for dep in stage.deps:
        named: list[tuple[Kind, str]]
        if dep in stage.params:
            named = [("parameter", name) for name in dep.params if name not in step.params]
        else:
            path = place.path_of(dep)
            known = any(file.path == path for file in step.reads)
            named = [] if known else [(_source(path), path)]
        for kind, name in named:
            found = _found(place, step.name, kind, name)
            yield Link(
                step=step.name,
                kind=kind,
                name=name,
                recorded=None,
                found=found[0] if found else None,
                state="not recorded",
            )


def _link(place: Place, step: str, kind: Kind, name: str, recorded: Any) -> Link:
    """A link with what is found of it in the workspace or a revision."""
    found = _found(place, step, kind, name)
    state = _state(place, kind, name, recorded, found)
    if state == "not here":
        note = "in the cache" if place.cached(recorded) else "`dvc pull` fetches it"
    elif kind == "command" and not found:
        note = "no longer in dvc.yaml; `python -m traitdrift prune`"
    else:
        note = place.imported(name) if kind == "raw" else ""
    return Link(
        step=step,
        kind=kind,
        name=name,
        recorded=recorded,
        found=found[0] if found else None,
        state=state,
        note=note,
    )


def _found(place: Place, step: str, kind: Kind, name: str) -> tuple[Any] | None:
    """The command, value or digest that stands in a place, None where there is none."""
    if kind == "command":
        stage = place.stages.get(step)
        return (stage.cmd,) if stage else None
    if kind == "parameter":
        return place.parameter(name)
    digest = place.digest(name)
    return (digest,) if digest else None


def _state(place: Place, kind: Kind, name: str, recorded: Any, found: tuple[Any] | None) -> State:
    if found:
        return "same" if found[0] == recorded else "differs"
    if kind in ("command", "parameter"):
        return "missing"
    return "not here" if place.keeps(name, recorded) else "missing"


def _in(workspace: Place, link: Link) -> Link:
    """A revision's link with whether the workspace has the same."""
    if link.state == "not recorded":
        return link
    found = _found(workspace, link.step, link.kind, link.name)
    state = _state(workspace, link.kind, link.name, link.recorded, found)
    return link.model_copy(update={"workspace": state})


def _value(place: Place, path: str, digest: str | None, key: str) -> Any:
    """What a JSON file says under a dotted key, as the file now is."""
    if not path.endswith(".json"):
        raise ValueError(f"{path}: only values of JSON files have a KEY; trace {path} without it")
    text = place.text(path)
    if text is None and digest and (file := place.content(path, digest)):
        with file:
            text = file.read().decode("utf-8")
    if text is None:
        raise ValueError(f"{path}: not here, so {key} cannot be read; `dvc pull {path}`")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); `dvc repro` makes it anew")
    return look_up(values, key, path)


def _weights(place: Place, links: list[Link]) -> Iterator[Weights]:
    """What the files of a trace say of the models they are or come from."""
    files = dict.fromkeys(
        (link.name, link.recorded)
        for link in links
        if link.kind in ("input", "raw", "output") and link.recorded
    )
    found = (
        Weights(path=path, **described)
        for path, digest in files
        for described in map(_described, place.contents(path, digest, DESCRIBED))
        if described
    )
    return iter(dict.fromkeys(found))


# Files that name their models: the two records of `models.loading`, and every tensor file.
DESCRIBED = ("base.json", "variant.json", ".safetensors")


def _described(file: BinaryIO) -> dict[str, Any]:
    """The model and the digests that a record or a tensor file's metadata names."""
    with file:
        start = file.read(8)
        try:
            if start[:1] == b"{":
                record = json_object_of(start + file.read(LONGEST))
            else:
                text = read_metadata(file, start)["traitdrift"]
                record = json_object_of(text.encode())
        except (ValueError, KeyError):
            return {}  # a tensor file of another program
    if "digest" in record:
        return {"model": record.get("id"), "base_digest": record["digest"]}
    if "base_digest" not in record:
        return {}  # figures of a variant called base
    return {name: record.get(name) for name in ("model", "base_digest", "adapter_digest")}
