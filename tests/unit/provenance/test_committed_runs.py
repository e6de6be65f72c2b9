"""Results in runs/, of runs beyond the default one: each file is what the lock beside it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitdrift.core.config import load
from traitdrift.params import read
from traitdrift.provenance.lockfile import Step, holds, lock_at
from traitdrift.provenance.verify import check, files, leaves, parameters

RUNS = sorted((Path(__file__).resolve().parents[3] / "runs").iterdir())


@pytest.fixture(params=RUNS, ids=lambda run: run.name)
def run(request: pytest.FixtureRequest) -> Path:
    return request.param


def held(run: Path) -> list[str]:
    """The results of a run that are committed."""
    found = [path for folder in ("metrics", "plots") for path in (run / folder).rglob("*")]
    return sorted(path.relative_to(run).as_posix() for path in found if path.is_file())


def writer(steps: dict[str, Step], path: str) -> str:
    """The output of the lock that a file is, or lies in."""
    (found,) = {out.path for step in steps.values() for out in step.writes if holds(out.path, path)}
    return found


def test_every_result_is_what_the_lock_says(run: Path):
    steps = lock_at(run)
    known = files(steps.values())  # no two stages saw a file differ
    outs: dict[str, list[str]] = {}
    for path in held(run):
        outs.setdefault(writer(steps, path), []).append(path)
    assert outs
    for out, inside in outs.items():
        check(known[out], run, inside)


def test_the_parameters_beside_it_are_those_that_it_was_made_with(run: Path):
    read(run / "params.yaml")  # they still say something
    given = dict(leaves(load(run / "params.yaml")))
    used = parameters(lock_at(run).values())
    assert {key: given.get(key) for key in used} == used
