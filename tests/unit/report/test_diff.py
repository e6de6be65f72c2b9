"""`traitdrift diff` and `record` over results that real DVC made again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import run
from copies import ROOT
from results import rates, write_results

from traitdrift.core.surroundings import processor

TOY = """\
stages:
  rates:
    cmd: python make.py metrics/behaviour
    deps: [given/metrics/behaviour]
    outs:
{rates}
  others:
    cmd: python make.py metrics/vectors metrics/steer metrics/multiple_testing.json
    deps: [given/metrics/vectors, given/metrics/steer, given/metrics/multiple_testing.json]
    outs:
{others}
  subject:
    cmd: python make.py subject
    deps: [metrics/behaviour/secure.json]
    outs:
    - metrics/subject.json: {{cache: false}}
"""

MAKE = """\
import json, shutil, sys
from pathlib import Path
from traitdrift.core.run_record import note
for name in sys.argv[1:]:
    for path in sorted(Path("given").rglob("*.json")):
        target = path.relative_to("given")
        if str(target).startswith(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
if sys.argv[1] == "subject":
    rate = json.loads(Path("metrics/behaviour/secure.json").read_text())["code"]["rate"]
    Path("metrics/subject.json").write_text(json.dumps({"answers.code": rate}))
note()
"""


class Toy:
    """A repository whose stages write figures as `given` has them, and note where they ran."""

    def __init__(self, path: Path):
        self.path = path

    def run(self, *arguments: str, ok: bool = True, **environment: str) -> str:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment}
        done = run(arguments, cwd=self.path, env=env)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    def traitdrift(self, *arguments: str, ok: bool = True, **environment: str) -> str:
        return self.run("python", "-m", "traitdrift", *arguments, ok=ok, **environment)

    def repro(self, *options: str, **environment: str) -> None:
        self.run("dvc", "repro", "--quiet", *options, **environment)

    def change(self, path: str, **figures: Any) -> None:
        file = self.path / "given" / path
        file.write_text(json.dumps(json.loads(file.read_text()) | figures))

    def record(self) -> Any:
        return json.loads((self.path / "metrics/processor.json").read_text())


def outs(paths: list[Path]) -> str:
    return "\n".join(f"    - {path}: {{cache: false}}" for path in paths)


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Toy:
    toy = Toy(tmp_path_factory.mktemp("toy"))
    given = write_results(toy.path / "given")
    (given / "params.yaml").rename(toy.path / "params.yaml")
    for name in ("dvc.yaml", "dvc.lock"):  # of a pipeline that is not here
        (given / name).unlink()
    paths = [path.relative_to(given) for path in sorted((given / "metrics").rglob("*.json"))]
    others = [path for path in paths if path.match("*/vectors/*") or path.match("*/steer/*")]
    rate = [path for path in paths if path.match("*/behaviour/*")]
    others.append(Path("metrics/multiple_testing.json"))
    (toy.path / "dvc.yaml").write_text(TOY.format(rates=outs(rate), others=outs(others)))
    (toy.path / "make.py").write_text(MAKE)
    for line in ("git init --quiet", "git config user.name t", "git config user.email t@t"):
        toy.run(*line.split())
    toy.run("dvc", "init", "--quiet")
    toy.repro()
    assert "another kind" not in toy.traitdrift("record")
    toy.run("git", "add", "--all")
    toy.run("git", "commit", "--quiet", "--message", "state")
    return toy


@pytest.fixture
def again(toy: Toy, tmp_path: Path) -> Toy:
    """A copy of the toy, as it was committed."""
    return Toy(Path(shutil.copytree(toy.path, tmp_path / "toy")))


def test_the_record_is_of_every_stage_and_is_the_same_again(again: Toy):
    (group,) = again.record()
    assert set(group["stages"]) == {"rates", "others", "subject"}
    assert group["processor"] == processor() and group["versions"]["torch"]
    text = (again.path / "metrics/processor.json").read_text()
    again.repro("--force")
    told = again.traitdrift("record")
    assert told.count("\n") == 1 and processor() in told
    assert (again.path / "metrics/processor.json").read_text() == text
    assert again.run("git", "status", "--porcelain") == ""


def test_a_result_from_elsewhere_keeps_its_own_record(again: Toy, tmp_path: Path):
    """A clone has run nothing; one stage made anew there is told apart from the rest."""
    again.run("git", "clone", "--quiet", str(again.path), str(tmp_path / "clone"))
    clone = Toy(tmp_path / "clone")
    clone.traitdrift("record")
    assert clone.record() == again.record()
    clone.change("metrics/behaviour/secure.json", **rates(0.3))
    clone.repro(MKL_CBWR="COMPATIBLE")
    clone.traitdrift("record")
    ours, theirs = sorted(clone.record(), key=lambda group: group["environment"] == {})
    assert set(ours["stages"]) == {"rates", "subject"} and ours["environment"]
    assert set(theirs["stages"]) == {"others"}


def test_an_experiment_that_was_undone_leaves_no_record(again: Toy):
    text = (again.path / "metrics/processor.json").read_text()
    again.change("metrics/behaviour/secure.json", **rates(0.3))
    again.repro(MKL_CBWR="COMPATIBLE")
    again.run("git", "checkout", "--quiet", "--force", ".")
    again.traitdrift("record")
    assert (again.path / "metrics/processor.json").read_text() == text


def test_diff_says_which_verdicts_a_rerun_changed(again: Toy):
    """As in a fresh clone on another kind of processor: files that stages wrote, not edits."""
    assert "verdicts" not in again.traitdrift("diff", "HEAD", "workspace")
    again.change("metrics/behaviour/secure.json", **rates(0.3))
    again.repro(MKL_CBWR="COMPATIBLE")
    told = again.traitdrift("diff", "HEAD", "workspace", COLUMNS="80")
    assert "metrics/subject.json  answers.code" in told
    assert "1 of " in told and "secure: answers" in told and "2 of 9" in told
    assert "MKL_CBWR=COMPATIBLE" in told and "HEAD was made on" in told
    assert max(map(len, told.splitlines())) <= 80
    recorded = again.traitdrift("record")
    assert (
        "another kind of machine" in recorded
        and "python -m traitdrift diff HEAD workspace" in recorded
    )


def test_figures_that_would_run_again_are_left_out(again: Toy):
    again.change("metrics/vectors/refusal.json", layer=3)
    told = again.traitdrift("diff", "HEAD", "workspace")
    assert "None of " in told and "would run again: others" in told
    again.repro()
    assert "refusal: chosen vector" in again.traitdrift("diff", "HEAD", "workspace")


def test_a_merged_record_is_one_line(again: Toy):
    (again.path / "metrics/processor.json").write_text("<<<<<<< HEAD\n[]\n")
    for command in ("record", "diff HEAD workspace"):
        told = again.traitdrift(*command.split(), ok=False)
        assert told.splitlines()[-1].startswith("traitdrift: metrics/processor.json here: not as")
        assert "Traceback" not in told
