"""What differs between two results: variants in the workspace, experiments, commits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import RevError, resolve_rev
from dvc.utils.diff import diff

from traitdrift.artifacts import read_json
from traitdrift.params import read
from traitdrift.summary import summary

METRICS = "metrics/subject.json"


def difference(root: Path, one: str, other: str) -> dict[str, dict[str, float]]:
    """Each figure that differs, with `old`, `new` and their `diff`, as `dvc metrics diff` has it.

    A name is first a variant, whose figures come from the workspace whatever `subject` is, then an
    experiment or a revision (or `workspace`), whose figures are those of its own subject.
    Raises ValueError for a name that is neither, a revision without the figures, and a variant
    whose results are not what the workspace would make.
    """
    try:
        with Repo(str(root)) as repo:
            old, new = figures(repo, one), figures(repo, other)
    except DvcException as error:
        raise ValueError(f"{root.resolve().name}: {error}")
    return diff({METRICS: {"data": old}}, {METRICS: {"data": new}}).get(METRICS, {})


def figures(repo: Repo, name: str) -> dict[str, float]:
    """The figures of a variant, an experiment or a revision; see `difference`."""
    root = Path(repo.root_dir)
    if name in read(root / "params.yaml").variants:
        settled(repo, name)
        return summary(
            read_json(root / "metrics/compare" / f"{name}.json"),
            read_json(root / "metrics/behaviour" / f"{name}.json"),
        )
    revision = name if name == "workspace" else commit(repo, name)
    shown = repo.metrics.show([str(root / METRICS)], revs=[revision], hide_workspace=False)
    files = shown.get(revision, {}).get("data", {})
    found = next((file["data"] for file in files.values() if "data" in file), None)
    if found is None:
        raise ValueError(f"{name}: has no {METRICS}; `dvc repro subject` makes it there")
    return found


def commit(repo: Repo, name: str) -> str:
    """The commit of an experiment or a revision.

    Raises ValueError where there is none, and where experiments of several commits have the name
    and none of them belongs to the present one.
    """
    try:
        return resolve_rev(repo.scm, name)
    except RevError:
        experiments = [
            each for made in repo.experiments.ls(all_commits=True).values() for each in made
        ]
    hashes = [revision[:7] for label, revision in experiments if label == name]
    if hashes:
        raise ValueError(
            f"{name}: {len(hashes)} experiments have this name; say {' or '.join(hashes)}"
        )
    variants = ", ".join(read(Path(repo.root_dir) / "params.yaml").variants)
    names = ", ".join(sorted({label for label, _ in experiments})) or "none"
    raise ValueError(
        f"{name}: neither a variant ({variants}) nor an experiment ({names}) nor a revision of git"
    )


def settled(repo: Repo, variant: str) -> None:
    """Raise ValueError where a variant's figures are not what the workspace would make.

    A file that is merely absent is no reason: a fresh clone has the figures and not the data.
    """
    stages = [f"compare@{variant}", f"behaviour@{variant}"]
    changed = [stage for stage, why in repo.status(stages, with_deps=True).items() if differs(why)]
    if changed:
        raise ValueError(
            f"{variant}: what the workspace holds is not what it would make "
            f"({', '.join(changed[:3])}{' and others' * (len(changed) > 3)}); run `dvc repro`"
        )


def differs(status: Any) -> bool:
    """Whether anything but absence stands in a part of what `Repo.status` says."""
    if isinstance(status, dict):
        return any(map(differs, status.values()))
    if isinstance(status, list):
        return any(map(differs, status))
    return status != "deleted"
