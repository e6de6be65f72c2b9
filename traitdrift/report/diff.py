"""What differs between two results: variants in the workspace, experiments, commits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.scm import RevError, resolve_rev
from dvc.utils.diff import diff

from traitdrift.core.files import read_json
from traitdrift.params import read
from traitdrift.provenance.repository import opened
from traitdrift.report.summary import summary

METRICS = "metrics/subject.json"


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
