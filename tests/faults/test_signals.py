"""`dvc repro` killed, ended and interrupted: nothing goes on, nothing is half there.

Each moment hits the run where the one before it left off, so that in the end the whole pipeline has
run in pieces; its dvc.lock is that of a run that nobody disturbed.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import commands
import psutil
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from moments import Moment, Run, left_over, outputs
from outcomes import Outcomes

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
# DVC's progress bar, interrupted between two lines of its making and then collected: Python says so
# and goes on. No stage has one of these.
BAR_CUT_SHORT = re.compile(
    r"Exception ignored in: <function tqdm\.__del__ at 0x[0-9a-f]+>\n"
    r"Traceback \(most recent call last\):\n"
    r"(?: +.*\n)+"
    r"AttributeError: 'Tqdm' object has no attribute 'postfix'\n"
)
CUT_SHORT = (  # rare: no moment of a session need meet it
    "a signal while DVC writes `dvc.lock`",
    "DVC refuses it by name where it is cut short; once it is as before, `dvc repro` goes on",
)


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
        if goes_on(run, moment.stage):
            return "the stage goes on, as DVC has it"
    run.over(GONE)
    told = BAR_CUT_SHORT.sub("", "".join(run.errors))
    # In its first tenths of a second a process is Python's alone.
    assert "Traceback" not in told or moment.seconds < 1, (str(moment), told)
    by_stage = [line for line in run.errors if ": ended " in line]
    assert len(by_stage) <= 1, (str(moment), told)
    if moment.signal == signal.SIGINT:
        assert run.process.returncode in (252, 255), (str(moment), told)  # DVC's own
        if not by_stage:
            return "DVC ends before the stage looks for it; no orphan; no partial file"
        assert "exited with 130" in told and "ended by SIGINT" in by_stage[0], told
        return "DVC says that the stage exited with 130; one line; no orphan; no partial file"
    assert run.process.returncode == -moment.signal, (str(moment), told)
    code = 128 + moment.signal
    return f"exit code {code}, one line of the stage at most; no orphan; no partial file"


def test_what_is_left_out_is_what_dvcs_own_progress_bar_says():
    """Half-made and collected, as an interrupt has it; what else is said stays."""
    half_made = "from dvc.progress import Tqdm; Tqdm.__new__(Tqdm)"
    told = subprocess.run(
        [sys.executable, "-c", half_made], capture_output=True, text=True, timeout=60
    ).stderr
    assert "Traceback" in told and BAR_CUT_SHORT.sub("", told) == ""
    other = told.replace("tqdm.__del__", "Stage.__del__") + told.replace("'Tqdm'", "'Run'")
    assert BAR_CUT_SHORT.sub("", other) == other


def goes_on(run: Run, stage: str) -> bool:
    """Whether a stage is at work, or has come to its own end; False where DVC has ended first."""
    last = time.monotonic() + GONE
    while run.process.poll() is None:
        if stage in at_work(run.process.pid) or run.ran()[-1] != stage:
            return True
        assert time.monotonic() < last, (stage, run.said[-5:], run.errors[-5:])
        time.sleep(0.05)
    return run.process.returncode == 0


def at_work(session: int) -> set[str]:
    """The stages whose commands are at work in a session, as DVC names them to these."""
    found = set()
    for pid in commands.members(session):
        with contextlib.suppress(psutil.Error):
            found.add(psutil.Process(pid).environ().get("DVC_STAGE", ""))
    return found


def test_a_run_in_pieces_ends_as_one_that_nobody_disturbed(
    undisturbed, disturbed, outcomes: Outcomes
):
    """What a moment may hit is a Python of its own: it and what follows within its seconds."""
    root = disturbed.root
    stages, outs = planned(root)
    lock, held = root / "dvc.lock", ""
    plan, seen = moments(stages, MOMENTS), []
    while plan:
        with Run(root, disturbed.environment) as run:
            while plan:
                moment = ahead(plan.pop(0), stages, root, run)
                hit = plain(disturbed, stages, moment.stage)
                if not run.until(moment.stage, 300):
                    plan.insert(0, moment)
                    if run.process.returncode:  # the signal before came while DVC wrote its lock
                        assert "dvc.lock' " in "".join(run.errors), run.errors[-9:]
                        assert lock.read_text() != held, "a lock that was whole is refused"
                        lock.write_text(held)  # as `git checkout dvc.lock` has it
                        outcomes.tried(*CUT_SHORT)
                    break
                held = lock.read_text() if lock.exists() else ""  # a stage begins once it is whole
                time.sleep(moment.seconds)
                if run.ran()[-1] not in hit or run.process.poll() is not None:
                    plan.insert(0, moment)  # it was quicker than that
                    continue
                seen.append((moment, see(run, moment), outputs(root, outs)))
                if run.process.poll() is not None:
                    break
            run.over(300)
            assert plan or run.process.poll() is not None
    with Run(root, disturbed.environment) as run:
        run.over(300)
        assert run.process.returncode == 0, run.errors[-9:]
    other = undisturbed.finished()
    whole = outputs(other, outs)
    for moment, outcome, found in seen:
        partial = {name for name, digest in found.items() if whole.get(name) != digest}
        assert not partial, (str(moment), partial)
        whom = "the group" if moment.group else "`dvc` alone"
        outcomes.tried(f"{moment.signal.name} to {whom}", outcome)
    assert len(seen) == MOMENTS
    assert outputs(root, outs) == whole
    assert lock.read_text() == (other / "dvc.lock").read_text()
    assert left_over(root) == [] and not list(root.glob(".scratch/*/*"))
    outcomes.tried(
        "the whole pipeline run in those pieces",
        "`dvc.lock` and every file as of a run that nobody disturbed",
    )
    outcomes.tried("a folder with spaces and signs beyond ASCII, the C locale", "the same files")


def ahead(moment: Moment, stages: list[str], root: Path, run: Run) -> Moment:
    """A moment moved to the next stage that is still to be run, if its own has been."""
    lock = root / "dvc.lock"
    done = set(re.findall(r"^  (\S+):$", lock.read_text(), re.M)) if lock.exists() else set()
    begun = run.ran()
    done |= set(begun)
    left = [stage for stage in stages[stages.index(moment.stage) :] if stage not in done]
    assert left, "all has been run, and nothing is left to be disturbed"
    moved = moment.stage in done
    # Where the run is going, the next one may begin while this is said.
    return replace(moment, stage=left[bool(begun and moved and left[1:])])


def plain(disturbed, stages: list[str], first: str) -> list[str]:
    """Have a stage and the three after it be processes of their own."""
    begins = stages.index(first)
    disturbed.plain(stages[begins : begins + 4])
    return stages[begins : begins + 4]
