"""What `stages.run` makes of wrong input and of the program's own faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import commands
import pytest

ROOT = Path(__file__).resolve().parents[3]


def behaviour(work: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (work / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return commands.run(
        [sys.executable, "-m", "stages.behaviour", "insecure"],
        cwd=work,
        env={"PYTHONPATH": str(ROOT), **environment},
    )


def test_wrong_input_is_one_line_that_names_the_stage_and_its_cell(tmp_path: Path):
    done = behaviour(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("behaviour@insecure: ")
    assert "data/responses/base.jsonl" in done.stderr


def test_the_traceback_is_there_on_request(tmp_path: Path):
    done = behaviour(tmp_path, TRAITDRIFT_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "how", [["-mstages.behaviour"], ["-um", "stages.behaviour"], ["-Bumstages.behaviour"]]
)
def test_the_stage_is_known_however_python_is_asked_for_it(tmp_path: Path, how: list[str]):
    done = commands.run(
        [sys.executable, *how, "in secure"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("behaviour@in secure: 'in secure' is no id")
