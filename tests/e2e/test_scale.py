"""What `plan` says of a stage, against what its process takes on the real model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Smoke

# A stage, and below what it prints the most bytes of RAM that its process held.
MEASURED = """
import resource, runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_a_fine_tune_takes_no_more_than_was_planned_and_not_much_less(smoke: Smoke, tmp_path: Path):
    lab = replace(smoke.clone(tmp_path / "clone", cache=True), python=None)
    plan = json.loads(lab.run("python", "-m", "traitdrift", "plan", "--json").stdout)
    planned = {stage["stage"]: stage["memory"] for stage in plan["stages"]}["finetune@insecure"]
    shutil.rmtree(lab.path / "models/adapters/insecure")  # links into the cache
    done = lab.run("python", "-c", MEASURED, "stages.finetune", "insecure")
    measured = int(done.stdout.splitlines()[-1])
    assert measured <= planned <= 2 * measured


def test_a_model_that_the_hub_does_not_give_ends_the_plan_in_one_line(smoke: Smoke, tmp_path: Path):
    done = smoke.run(
        *("python", "-m", "traitdrift", "plan", "--model", "qwen_7b"),
        ok=False,
        HF_HOME=str(tmp_path),
        HF_HUB_OFFLINE="1",
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("traitdrift: Qwen/Qwen2.5-7B-Instruct at main: not to be had from")
