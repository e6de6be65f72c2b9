"""What differs between two results: variants in the workspace, experiments, commits."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
from dvc.repo import Repo
from dvc.scm import RevError, resolve_rev
from dvc.utils.diff import diff

from traitdrift.core.files import read_json
from traitdrift.params import read
from traitdrift.provenance import made_on
from traitdrift.provenance.explain import explain
from traitdrift.provenance.lockfile import holds
from traitdrift.provenance.repository import Place, opened
from traitdrift.report.summary import summary
from traitdrift.report.verdicts import LAYERS, Comparison, compared, rows

METRICS = "metrics/subject.json"
RESULTS = ("metrics", LAYERS.rpartition("/")[0])
# Figures that other files hold too, and what is no figure.
BESIDE = (METRICS, made_on.PATH)


def difference(root: Path, one: str, other: str) -> dict[str, dict[str, float]]:
    """Each figure that differs, with `old`, `new` and their `diff`, as `dvc metrics diff` has it.

    A name is first a variant, whose figures come from the workspace whatever `subject` is; then
    `workspace`, an experiment or a revision, whose figures are those of its own subject.
    Raises ValueError for a name that is none of these, a revision without the figures, and a
    workspace that does not hold what it would make.
    """
    with opened(root) as place:
        old, new = figures(place.repo, one), figures(place.repo, other)
    return diff({METRICS: {"data": old}}, {METRICS: {"data": new}}).get(METRICS, {})


@dataclass(frozen=True)
class Side:
    """One of two results: its figures by path, the kinds of machine that made it, what is left out.

    `stale` has the stage of each path whose figures `dvc repro` would make anew.
    """

    files: dict[str, Any]
    kinds: list[str]
    stale: dict[str, str]


@dataclass(frozen=True)
class Conclusions:
    """What two whole results conclude, each side's kinds of machine, and stages left out."""

    found: Comparison
    made: tuple[list[str], list[str]]
    left_out: list[str]


def conclusions(root: Path, one: str, other: str) -> Conclusions | None:
    """What two whole results conclude: the workspace, experiments, revisions.

    Figures of the workspace that `dvc repro` would make anew are left out. None where a name is a
    variant, which has no result of its own, and where all figures are the same.
    Raises ValueError for figures of another form.
    """
    if {one, other} & set(read(root / "params.yaml").variants):
        return None
    sides = old, new = side(root, one), side(root, other)
    stale = old.stale | new.stale
    before, now = ({p: f for p, f in one.files.items() if p not in stale} for one in sides)
    if before == now and not stale:
        return None
    try:
        found = compared(before, now)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{one} and {other}: figures of another form ({type(error).__name__}: {error}); "
            "compare with a result that this version's `dvc repro` made"
        )
    return Conclusions(found, (old.kinds, new.kinds), sorted(set(stale.values())))


def side(root: Path, name: str) -> Side:
    """The result that the workspace, an experiment or a revision holds."""
    with opened(root) as place:
        if name != "workspace":
            with opened(root, commit(place.repo, name)) as past:
                return Side(results(past), made_on.kinds(made_on.made(past)), {})
        again = {found.stage for found in explain(root, allow_missing=True)}
        made = {path: out.stage.name for path, out in place.outputs.items() if out.stage.cmd}
        files = results(place)
        makers = {path: made[out] for path in files for out in made if holds(out, path)}
        stale = {path: stage for path, stage in makers.items() if stage in again}
        return Side(files, made_on.kinds(made_on.made(place)), stale)


def results(place: Place) -> dict[str, Any]:
    """The figures of the workspace or a revision as `verdicts` takes them, by path."""
    found: dict[str, Any] = {}
    for folder in RESULTS:
        top = place.repo.fs.join(place.repo.root_dir, folder)
        paths = place.repo.fs.find(top) if place.repo.fs.exists(top) else []
        for path in sorted("/".join(place.repo.fs.relparts(p, place.repo.root_dir)) for p in paths):
            text = place.text(path) or ""
            try:
                if path.endswith(".json") and path not in BESIDE:
                    found[path] = json.loads(text)
                elif path.endswith(".csv"):
                    found[path] = rows(
                        pandas.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
                    )
            except ValueError:
                raise ValueError(
                    f"{path} {place}: cannot be read; `git restore {folder}`, then `dvc repro`"
                )
    return found


def figures(repo: Repo, name: str) -> dict[str, float]:
    """The figures of a variant, the workspace, an experiment or a revision; see `difference`."""
    root = Path(repo.root_dir)
    if name in read(root / "params.yaml").variants:
        settled(repo, name, [f"compare@{name}", f"behaviour@{name}"])
        compared = held(root, f"metrics/compare/{name}.json")
        return summary(compared, held(root, f"metrics/behaviour/{name}.json"))
    if name == "workspace":
        settled(repo, name, ["subject"])
        return held(root, METRICS)
    revision = commit(repo, name)
    shown = repo.metrics.show([str(root / METRICS)], revs=[revision])
    for file in shown.get(revision, {}).get("data", {}).values():
        if "data" in file:
            return file["data"]
    raise ValueError(f"{name}: no {METRICS} in it; `git checkout` it and run `dvc repro subject`")


def commit(repo: Repo, name: str) -> str:
    """The commit of an experiment or a revision.

    Raises ValueError where there is none, and where experiments of several commits have the name
    and none of them belongs to the present one.
    """
    try:
        return resolve_rev(repo.scm, name)
    except RevError:
        made = repo.experiments.ls(all_commits=True)
    experiments = [each for of_one_commit in made.values() for each in of_one_commit]
    if same := [revision[:7] for label, revision in experiments if label == name]:
        raise ValueError(f"{name}: {len(same)} experiments have this name; say {' or '.join(same)}")
    variants = ", ".join(read(Path(repo.root_dir) / "params.yaml").variants)
    names = ", ".join(sorted({label for label, _ in experiments})) or "there is none"
    raise ValueError(f"{name}: no variant ({variants}), experiment ({names}) or revision")


def held(root: Path, path: str) -> dict[str, Any]:
    """The contents of a metrics file of the workspace."""
    if not (root / path).exists():
        raise ValueError(f"{path}: missing; `git restore metrics` brings it back")
    return read_json(root / path)


def settled(repo: Repo, name: str, stages: list[str]) -> None:
    """Raise ValueError where these stages or those before them would make something else.

    A file that is merely absent is no reason: a fresh clone has the figures and not the data.
    """
    # DVC looks for a bare name in the working directory, which need not be the repository's.
    targets = [f"{repo.root_dir}/dvc.yaml:{stage}" for stage in stages]
    status = repo.status(targets, with_deps=True)
    changed = [stage.rpartition(":")[2] for stage, why in status.items() if differs(why)]
    if changed:
        some = ", ".join(changed[:3]) + " and others" * (len(changed) > 3)
        raise ValueError(f"{name}: {some} would run again; run `dvc repro`")


def differs(status: Any) -> bool:
    """Whether a part of what `Repo.status` says tells of more than absence."""
    if isinstance(status, dict):
        return any(map(differs, status.values()))
    if isinstance(status, list):
        return any(map(differs, status))
    return status not in ("deleted", "not in cache")
