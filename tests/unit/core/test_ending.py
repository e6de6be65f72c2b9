"""A process that is ended: one line, the exit code of its signal, nothing that goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import commands
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
# A stage in miniature: `work` is what it does once it has said that it does.
STAGE = """
import os, subprocess, sys, threading, time
from traitdrift.core.ending import Ended, Ending
ending = Ending(lambda why: print("stage:", why, file=sys.stderr, flush=True))
ending.arm()
def ready(): print("ready", flush=True)
try:
    ending.at_work = {at_work}
    {work}
except Ended as end:
    end.ending.tell()
    raise SystemExit(end.ending.code)
finally:
    ending.at_work = False
"""
SLEEP = "ready(); time.sleep(60)"
SWALLOWS = """said = False
    while True:
        try:
            said = said or ready() or True
            time.sleep(60)
        except BaseException: pass"""
CHILD = "subprocess.Popen(['sleep', '60']); ready(); time.sleep(60)"
FORKS = """child = os.fork()
    if not child: time.sleep(60)
    time.sleep(0.5)
    os.kill(child, 15)
    status = os.waitpid(child, 0)[1]
    time.sleep(6)
    print(os.waitstatus_to_exitcode(status), flush=True)"""
SWALLOWS_WITH_CHILD = "subprocess.Popen(['sleep', '60']); " + SWALLOWS


@contextlib.contextmanager
def stage(work: str, at_work: bool = True, **environment: str) -> Iterator[subprocess.Popen]:
    """That program, once it is at work."""
    with commands.started(
        [sys.executable, "-c", STAGE.format(work=work, at_work=at_work)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process


@pytest.mark.parametrize("at_work", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_one_line_and_its_exit_code(number: signal.Signals, at_work: bool):
    with stage(SLEEP, at_work) as process:
        process.send_signal(number)
        told = process.communicate(timeout=20)[1]
        assert process.returncode == 128 + number
        assert told == f"stage: ended by {number.name}\n"


def test_a_copy_that_is_ended_ends_alone():
    """A worker that was forked, which its parent or another ends."""
    with stage("ready(); " + FORKS) as process:
        told = process.communicate(timeout=30)
        assert (*told, process.returncode) == ("-15\n", "", 0)


def test_what_swallows_the_end_is_ended_by_force_with_its_children():
    with stage(SWALLOWS_WITH_CHILD) as process:
        (child,) = psutil.Process(process.pid).children()
        process.terminate()
        process.terminate()
        assert process.communicate(timeout=20)[1] == "stage: ended by SIGTERM\n"
        assert process.returncode == 143
        gone, alive = psutil.wait_procs([child], timeout=5)
        assert gone or all(one.status() == psutil.STATUS_ZOMBIE for one in alive)


def test_what_is_ignored_stays_so():
    """`nohup` ignores the end of a terminal; what it starts goes on."""
    command = [sys.executable, "-c", STAGE.format(work=SLEEP, at_work=True)]
    with commands.started(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)


def asked_for(tmp_path: Path, deep: bool) -> tuple[subprocess.Popen, int]:
    """Who asks for a stage as DVC does, perhaps by a launcher, and the stage's process."""
    program, noted = tmp_path / "stage.py", tmp_path / "pid"
    note = f"import os; open({str(noted)!r}, 'w').write(str(os.getpid())); "
    program.write_text(STAGE.format(work=note + SLEEP, at_work=True))
    command = [sys.executable, str(program)]
    if deep:  # a launcher that does not end with its parent
        command = [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"]
    asks = "import os, subprocess; os.environ['DVC_STAGE'] = 's@x'; "
    asks += f"subprocess.run({command!r}, env=dict(os.environ))"
    process = subprocess.Popen(
        [sys.executable, "-c", asks],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process, int((tmp_path / "pid").read_text())


def test_a_stage_ends_that_was_left_before_it_began_to_look(tmp_path: Path):
    """Who asked for it ended while its Python started."""
    told, noted = tmp_path / "told", tmp_path / "pid"
    program = tmp_path / "stage.py"
    begins = f"import os, time; open({str(noted)!r}, 'w').write(str(os.getpid()))\n"
    begins += "while os.getppid() == int(os.environ['ASKER']): time.sleep(0.01)\n"
    program.write_text(begins + STAGE.format(work=SLEEP, at_work=True))
    asks = "import os, subprocess, sys, time; os.environ['DVC_STAGE'] = 's@x'; "
    asks += "os.environ['ASKER'] = str(os.getpid()); out = open(sys.argv[2], 'w'); "
    asks += "subprocess.Popen([sys.executable, sys.argv[1]], stdout=out, stderr=out); time.sleep(1)"
    process = subprocess.Popen(
        [sys.executable, "-c", asks, str(program), str(told)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        process.wait(10)
        with contextlib.suppress(psutil.Error):
            reaper = psutil.Process(int(noted.read_text())).parent()
            if reaper is None or (reaper.pid != 1 and reaper.name() != "systemd"):
                pytest.skip(f"what is left goes to {reaper} here, not to the first process")
        last = time.monotonic() + 20
        while commands.members(process.pid):
            assert time.monotonic() < last
            time.sleep(0.05)
    finally:
        commands.end(process.pid)
    assert "stage: ended, for what asked for it is gone\n" in told.read_text()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stage_ends_with_who_asked_for_it(tmp_path: Path, number: signal.Signals, deep: bool):
    process, pid = asked_for(tmp_path, deep)
    try:
        process.send_signal(number)
        process.wait(10)
        last = time.monotonic() + 10
        while pid in commands.members(process.pid):
            assert time.monotonic() < last
            time.sleep(0.05)
    finally:
        commands.end(process.pid)
    assert "stage: ended, for what asked for it is gone\n" in process.communicate()[1]
