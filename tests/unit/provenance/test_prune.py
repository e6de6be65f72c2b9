"""What a removed cell left goes; no file of a present stage's does, and nothing in the cache."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import commands
import pytest
from copies import ROOT
from lab import Lab

from traitdrift.provenance.explain import explain
from traitdrift.provenance.prune import left_overs, prune

OUTPUTS = ("data/counts/second", "metrics/count/second.json", "plots/pair/second-first.csv")


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def shrunk(lab: Lab) -> Lab:
    """The lab after the cell `second` was taken out of params.yaml, and another run."""
    lab.params({"cells": ["first"]})
    assert lab.repro() == {"total"}
    return lab


def test_what_is_left_over_is_listed(shrunk: Lab):
    found = left_overs()
    assert [one.stage for one in found] == ["count@second", "pair@second-first"]
    assert [path for one in found for path in one.removed] == list(OUTPUTS)
    assert [one.reruns for one in found] == [["total"], []]
    assert [one.edited or one.kept for one in found] == [{}, {}]
    shrunk.write("metrics/count/second.json", "{}")
    assert left_overs()[0].edited == ["metrics/count/second.json"]


def test_nothing_is_left_over_of_a_whole_pipeline(lab: Lab):
    assert left_overs() == []
    assert "Nothing to prune" in lab.command("traitdrift", "prune").stdout


def test_only_that_is_removed(shrunk: Lab):
    before, cache = shrunk.text("dvc.lock"), files(shrunk.path / ".dvc/cache")
    workspace = set(files(shrunk.path))
    prune(["count@second", "pair@second-first"])
    assert not any((shrunk.path / path).exists() for path in OUTPUTS)
    gone = workspace - set(files(shrunk.path))
    assert all(any(path.startswith(out) for out in OUTPUTS) for path in gone)
    assert files(shrunk.path / ".dvc/cache") == cache
    # The lock is what it was without those entries, byte for byte.
    after = shrunk.text("dvc.lock")
    kept = [
        part
        for part in before.replace("\n  ", "\n\0").replace("\n\0 ", "\n   ").split("\0")
        if not part.startswith(("count@second:", "pair@second-first:"))
    ]
    assert after == "".join(f"  {part}" if i else part for i, part in enumerate(kept))
    assert "second" not in after
    # `total` reads the folder in which a metric of the removed cell lay, as was said.
    assert [one.stage for one in explain() if one.changes] == ["total"]


def test_a_run_after_it_does_nothing_where_no_folder_lost_a_file(shrunk: Lab):
    prune(["pair@second-first"])
    lock = shrunk.text("dvc.lock")
    assert shrunk.repro() == set() and shrunk.text("dvc.lock") == lock


def test_lines_that_dvc_wraps_stay_as_they_are(lab: Lab):
    """DVC writes the lock through the same YAML writer; long values are where two would differ."""
    lab.params({"words.seed": {"long": "b179c952" * 12, "text": "a: #b 'c'", "number": 1e-06}})
    lab.params({"cells": ["first"]})
    lab.repro()
    words = lab.text("dvc.lock").split("  count@first:")[0]
    prune(["count@second", "pair@second-first"])
    assert lab.text("dvc.lock").startswith(words)
    lab.repro()
    lock = lab.text("dvc.lock")
    assert lock.startswith(words) and lab.repro() == set() and lab.text("dvc.lock") == lock


def test_what_a_present_stage_makes_or_reads_stays(shrunk: Lab):
    shrunk.replace(
        "dvc.yaml",
        "  subject:\n    cmd: python code/make.py subject metrics/count/${subject}.json",
        "  subject:\n    cmd: python code/make.py subject data/counts/second/content.json",
    )
    shrunk.replace(
        "dvc.yaml", '"metrics/count/${subject}.json"]', '"data/counts/second/content.json"]'
    )
    shrunk.replace(
        "dvc.yaml", "- metrics/total.json:", "- plots/pair/second-first.csv: {cache: false}\n"
        "      - metrics/total.json:",
    )  # fmt: skip
    counted, paired = left_overs()
    assert counted.kept == {"data/counts/second": "subject reads data/counts/second/content.json"}
    assert paired.kept == {"plots/pair/second-first.csv": "total makes plots/pair/second-first.csv"}
    prune([counted.stage, paired.stage])
    assert (shrunk.path / "data/counts/second/content.json").exists()
    assert (shrunk.path / "plots/pair/second-first.csv").exists()
    assert not (shrunk.path / "metrics/count/second.json").exists()


def test_nothing_outside_the_repository_is_removed(shrunk: Lab):
    """A lock may have been edited by hand, or come from somebody else."""
    shrunk.write("../mine.txt", "mine\n")
    shrunk.replace("dvc.lock", "- path: plots/pair/second-first.csv", "- path: ../mine.txt")
    assert left_overs()[1].kept == {"../mine.txt": "outside the workspace"}
    prune(["pair@second-first"])
    assert (shrunk.path.parent / "mine.txt").exists()


def test_a_linked_output_goes_and_the_cache_keeps_the_bytes(shrunk: Lab):
    cache = files(shrunk.path / ".dvc/cache")
    shrunk.command("dvc", "config", "--local", "cache.type", "symlink")
    shrunk.command("dvc", "checkout", "--relink")
    assert (shrunk.path / "data/words.txt").is_symlink()
    prune(["count@second"])
    assert files(shrunk.path / ".dvc/cache") == cache


def test_no_terminal_no_removal(shrunk: Lab):
    done = shrunk.command("traitdrift", "prune")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "`python -m traitdrift prune --yes`" in done.stderr
    assert "count@second: metrics/count/second.json\n" in done.stdout
    assert "will run again: total" in done.stdout
    assert len(left_overs()) == 2
    done = shrunk.command("traitdrift", "prune", "--yes")
    assert done.returncode == 0 and "Removed;" in done.stdout
    assert left_overs() == []


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 2), (b"y\n", 0)])
def test_it_asks_first(shrunk: Lab, answer: bytes, left: int):
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    commands.run(
        [sys.executable, "-m", "traitdrift", "prune"],
        cwd=shrunk.path,
        stdin=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(ours)
    os.close(theirs)
    assert len(left_overs()) == left


def test_it_waits_for_nobody_who_is_running_the_pipeline(shrunk: Lab):
    from dvc.repo import Repo

    with Repo(str(shrunk.path)) as repo, repo.lock, pytest.raises(ValueError, match="lock"):
        prune(["count@second"])
    assert len(left_overs()) == 2
