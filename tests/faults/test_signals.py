"""`dvc repro` killed, ended and interrupted: nothing goes on, nothing is half there.

Each moment hits the run where the one before it left off, so that in the end the whole pipeline has
run in pieces; its dvc.lock is that of a run that nobody disturbed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from moments import Moment, Run, left_over, outputs
from outcomes import Outcomes
from small_run import environment

MOMENTS = int(os.environ.get("TRAITDRIFT_MOMENTS", "9"))
KINDS = [
    (signal.SIGTERM, False),
    (signal.SIGKILL, False),
    (signal.SIGINT, True),
    (signal.SIGTERM, True),
    (signal.SIGKILL, True),
    (signal.SIGINT, False),
    (signal.SIGHUP, True),
]
LONGEST = 3.0  # seconds into a stage: its libraries are loaded, and it works
GONE = 12.0  # seconds after which nothing may be at work


def planned(root: Path) -> tuple[list[str], list[str]]:
    """The stages in the order of a run, and all that they write."""
    here = Path.cwd()
    os.chdir(root)
    try:
        with Repo() as repo:
            stages = [stage for stage in plan_repro(repo.index.graph) if stage.cmd]
            return [s.name for s in stages], [o.def_path for s in stages for o in s.outs]
    finally:
        os.chdir(here)


def moments(stages: list[str], count: int) -> list[Moment]:
    """Spread over the stages in their order, each kind of signal in its turn."""
    chance = random.Random(count)
    found = []
    for number in range(count):
        stage = stages[int((number + chance.random()) * len(stages) / count)]
        which, group = KINDS[number % len(KINDS)]
        found.append(Moment(stage, chance.uniform(0.0, LONGEST), which, group))
    return found


def see(run: Run, moment: Moment) -> str:
    """Send the signal of a moment; what came of it, every expectation checked."""
    run.send(moment)
    if moment.signal == signal.SIGINT and not moment.group:
        # While a command runs, DVC leaves an interrupt to it; between two it ends by itself.
        time.sleep(0.5)
        if run.process.poll() is None:
            return "the stage goes on, as DVC has it"
    run.over(GONE)
    told = "".join(run.errors)
    # In its first tenths of a second a process is Python's alone.
    assert "Traceback" not in told or moment.seconds < 1, (str(moment), told)
    by_stage = [line for line in run.errors if ": ended " in line]
    assert len(by_stage) <= 1, (str(moment), told)
    if moment.signal == signal.SIGINT:
        assert run.process.returncode in (252, 255), (str(moment), told)  # DVC's own
        if by_stage:
            assert "exited with 130" in told and "ended by SIGINT" in by_stage[0], told
        return "DVC says that the stage exited with 130; one line; no orphan; no partial file"
    assert run.process.returncode == -moment.signal, (str(moment), told)
    code = 128 + moment.signal
    return f"exit code {code}, one line of the stage at most; no orphan; no partial file"


def test_a_run_in_pieces_ends_as_one_that_nobody_disturbed(
    undisturbed, disturbed: Path, outcomes: Outcomes
):
    stages, outs = planned(disturbed)
    seen: list[tuple[Moment, dict[str, str], str]] = []
    plan = moments(stages, MOMENTS)
    while plan:
        with Run(disturbed, environment()) as run:
            going = True
            while plan and going and run.until(plan[0].stage, 300):
                moment = plan.pop(0)
                time.sleep(moment.seconds)
                outcome = see(run, moment)
                going = run.process.poll() is None
                seen.append((moment, outputs(disturbed, outs), outcome))
            if going:
                run.process.wait(300)
                assert run.process.returncode == 0, run.errors[-9:]
                plan = []
    with Run(disturbed, environment()) as run:
        run.process.wait(600)
        assert run.process.returncode == 0, run.errors[-9:]
    root = undisturbed.finished()
    whole = outputs(root, outs)
    for moment, found, outcome in seen:
        other = {name for name, digest in found.items() if whole.get(name) != digest}
        assert not other, (str(moment), other)
        whom = "the group" if moment.group else "`dvc` alone"
        outcomes.tried(f"{moment.signal.name} to {whom}", outcome)
    assert len(seen) == MOMENTS
    assert outputs(disturbed, outs) == whole
    assert (disturbed / "dvc.lock").read_text() == (root / "dvc.lock").read_text()
    assert left_over(disturbed) == [] and not list(disturbed.glob(".scratch/*/*"))
    outcomes.tried(
        "the whole pipeline run in those pieces",
        "`dvc.lock` and every file as of a run that nobody disturbed",
    )
