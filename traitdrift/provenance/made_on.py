"""metrics/processor.json: on which kinds of processor the results beside it were made.

It is no output of a stage, for it tells of the machine and not of the inputs: `record` writes it
from what the stages noted where they ran. A stage's digest of what it wrote says of which result
an entry tells; one that came from a cache or a colleague keeps the entry that came with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitdrift.core.files import read_json, write_json
from traitdrift.core.run_record import record_of
from traitdrift.provenance.lockfile import Step, lock_of
from traitdrift.provenance.repository import Place, opened

PATH = "metrics/processor.json"
WRITTEN = "writes"  # in a stage's own note: the digest of the result that it told of first
Made = dict[str, dict[str, Any]]


def record(root: Path = Path(".")) -> Made:
    """Write metrics/processor.json anew, if anything is known; what is, of the workspace's lock."""
    with opened(root) as place:
        found = made(place)
        steps = lock_of(place)
        top = Path(place.repo.root_dir)
    for stage, around in _notes(top, steps).items():
        if WRITTEN not in around:  # from now on it tells of this result alone
            write_json(top / record_of(stage), {**around, WRITTEN: digest(steps[stage])})
    groups: dict[str, dict[str, Any]] = {}
    for stage, around in found.items():
        group = groups.setdefault(json.dumps(around, sort_keys=True), {**around, "stages": {}})
        group["stages"][stage] = digest(steps[stage])
    if groups or (top / PATH).exists():
        write_json(top / PATH, list(groups.values()))
    return found


def committed(root: Path = Path(".")) -> list[str]:
    """The kinds of machine that made the results of the last commit; none if that is not known."""
    try:
        with opened(root, "HEAD") as place:
            return kinds(made(place))
    except ValueError:  # no commit yet
        return []


def made(place: Place) -> Made:
    """Where the results of each stage in the lock were made, as far as that is known.

    In the workspace a stage's own note tells of what the file does not: where bytes are those of
    an entry, the note is of the same ones made again, or of others that were undone. Raises
    ValueError for a file that `record` did not write.
    """
    steps = lock_of(place) if place.text("dvc.lock") is not None else {}
    found: Made = {}
    if place.rev is None:
        for stage, around in _notes(Path(place.repo.root_dir), steps).items():
            if around.pop(WRITTEN, digest(steps[stage])) == digest(steps[stage]):
                found[stage] = around
    try:
        for group in json.loads(place.text(PATH) or "[]"):
            around = {key: value for key, value in group.items() if key != "stages"}
            for stage, wrote in group["stages"].items():
                if stage in steps and digest(steps[stage]) == wrote:
                    found[stage] = around
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{PATH} {place}: not as it was written (left by a merge?); "
            f"`git checkout HEAD -- {PATH}`, then `python -m traitdrift record`"
        )
    return {stage: found[stage] for stage in steps if stage in found}


def _notes(top: Path, steps: Mapping[str, Step]) -> Made:
    """What the stages of the lock noted where they last ran, of those that ran here."""
    paths = {stage: top / record_of(stage) for stage in steps}
    return {stage: read_json(path) for stage, path in paths.items() if path.exists()}


def digest(step: Step) -> str:
    """A short digest of all that a stage wrote."""
    wrote = sorted((file.path, file.digest) for file in step.writes)
    return hashlib.sha256(json.dumps(wrote).encode()).hexdigest()[:12]


def kinds(found: Made) -> list[str]:
    """The kinds of machine among them, as a line each, those of most stages first.

    A stage without tensors tells of no threads, so that only its processor counts.
    """
    counts: dict[str, int] = {}
    processors = {around["processor"] for around in found.values() if "threads" in around}
    for around in found.values():
        if "threads" not in around and around["processor"] in processors:
            continue
        count = around.get("threads")
        parts = [around["processor"], around.get("device", "cpu")]
        parts += [f"{count} thread{'s' * (count != 1)}"] if count else []
        parts += [f"{name}={value}" for name, value in around["environment"].items()]
        line = ", ".join(part for part in parts if part != "cpu")
        counts[line] = counts.get(line, 0) + 1
    return sorted(counts, key=lambda line: -counts[line])
