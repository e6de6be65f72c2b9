"""Queued and temporary experiments on real stages; base against a fine-tune."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from copies import borrow_environment

from traitdrift.core.files import file_digest
from traitdrift.report.diff import METRICS, difference

if TYPE_CHECKING:
    from conftest import Smoke

# Python runs a module of this name first: one line for each stage that starts, with its folder.
STARTS = """
import os, sys
if "STARTS" in os.environ and "stages." in " ".join(sys.orig_argv):
    with open(os.environ["STARTS"], "a") as log:
        log.write(f"{os.environ['DVC_STAGE']}\\t{os.getcwd()}\\n")
"""

# The stages in which a model reads anything or is trained.
FORWARDING = {
    *("respond_prompts", "capture_prompts", "finetune", "judge"),
    *("capture_responses", "respond_questions", "steer", "tokens"),
}


@pytest.fixture(scope="module")
def lab(smoke: Smoke, tmp_path_factory) -> Smoke:
    """A clone over the smoke run's cache, in which these tests' experiments are made."""
    clone = smoke.clone(tmp_path_factory.mktemp("lab") / "trait-drift", cache=True)
    return replace(clone, python=None)  # whose code a stage imports is Python's own answer


def drain(lab: Smoke, **environment: str) -> None:
    """Run everything that is queued by two workers, and wait until they have gone."""
    lab.run("dvc", "queue", "start", "--jobs", "2", **environment)
    told = lab.wait_for_workers()
    assert "Failed" not in told, told


def test_sweeps_forward_no_prompt_again(lab: Smoke, tmp_path: Path):
    """Over `vectors` and `compare`: no stage with a model in it runs; one cache serves all."""
    (tmp_path / "sitecustomize.py").write_text(STARTS)
    log = tmp_path / "starts.tsv"
    probe = ("-S", "vectors.probe.c=0.2", "subject")
    lab.run("dvc", "exp", "run", "--queue", "--name", "probe", *probe)
    seeds = ("-S", "compare.seed=1,2", "subject")
    lab.run("dvc", "exp", "run", "--queue", "--name", "seed", *seeds)
    drain(lab, STARTS=str(log), PYTHONPATH=str(tmp_path))

    lines = [line.split("\t") for line in log.read_text().splitlines()]
    started = Counter(name for name, _ in lines)
    assert started["vectors"] == 1
    assert started["compare@insecure"] == 3
    assert not {name for name in started if name.split("@")[0] in FORWARDING}

    folders = {Path(folder) for _, folder in lines}
    assert len(folders) == 3 and all(lab.path / ".dvc/tmp/exps" in f.parents for f in folders)
    assert lab.run("git", "status", "--porcelain").stdout == ""
    made = lab.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert {"probe", "seed-1", "seed-2"} <= set(made)


def test_an_experiment_computes_with_the_code_it_was_made_with(lab: Smoke):
    """Queued or `--temp`, it imports its own folder's code, whatever the main one has since."""
    code = lab.path / "traitdrift/report/summary.py"
    before, figures = code.read_text(), lab.text(METRICS)
    code.write_text(before.replace('f"answers.{outcome}"', 'f"replies.{outcome}"'))
    lab.run("dvc", "exp", "run", "--queue", "-n", "queued", "--single-item", "subject")
    lab.run("dvc", "exp", "run", "--temp", "-n", "temporary", "--single-item", "subject")
    assert lab.text(METRICS) == figures
    code.write_text(before)
    drain(lab)
    for name in ("queued", "temporary"):
        made = json.loads(lab.run("git", "show", f"{commit(lab, name)}:{METRICS}").stdout)
        assert "replies.code" in made and "answers.code" not in made
    assert lab.text(METRICS) == figures
    assert lab.run("git", "status", "--porcelain").stdout == ""


def commit(lab: Smoke, name: str) -> str:
    listed = lab.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout
    return next(line.split()[0] for line in listed.splitlines() if line.endswith(f"/{name}"))


def test_links_to_the_cache_are_safe(lab: Smoke):
    """A stage that runs again where its outputs are links writes no cached object."""
    output = lab.path / "models/vectors/refusal.safetensors"
    cached = output.resolve()
    assert output.is_symlink() and lab.path not in cached.parents
    before = file_digest(cached)
    lab.params({"vectors.probe.c": 0.3})
    lab.repro("--single-item", "vectors")
    assert file_digest(cached) == before != file_digest(output)
    lab.run("git", "checkout", "--quiet", ".")
    lab.run("dvc", "checkout", "--quiet")


def figures_of(lab: Smoke, name: str, variant: str) -> None:
    """An experiment of this name whose subject is that variant."""
    one = ("--single-item", "subject")
    lab.run("dvc", "exp", "run", "--temp", "-n", name, "-S", f"subject={variant}", *one)


def told(lab: Smoke, *names: str) -> str:
    """The one line that `traitdrift diff` says of names it refuses."""
    done = lab.run("python", "-m", "traitdrift", "diff", *names, ok=False)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_diff_of_variants_is_that_of_experiments_on_each(lab: Smoke):
    """The table of `dvc metrics diff`, without an experiment or a change to the workspace."""
    for name, subject in (("as-base", "base"), ("as-secure", "secure")):
        figures_of(lab, name, subject)
    before = lab.run("git", "for-each-ref").stdout
    ours = lab.run("python", "-m", "traitdrift", "diff", "base", "secure").stdout
    by_dvc = lab.run("dvc", "metrics", "diff", "as-base", "as-secure").stdout
    rows = [[line.split() for line in table.splitlines()[1:]] for table in (ours, by_dvc)]
    assert rows[0] == rows[1] and len(rows[0]) > 5
    assert lab.run("python", "-m", "traitdrift", "diff", "as-base", "as-secure").stdout == by_dvc
    assert (
        "the same figures"
        in lab.run("python", "-m", "traitdrift", "diff", "as-base", "base").stdout
    )
    # The smoke run's subject is insecure.
    assert difference(lab.path, "base", "workspace") == difference(lab.path, "base", "insecure")
    assert lab.run("git", "for-each-ref").stdout == before
    assert lab.run("git", "status", "--porcelain").stdout == ""


def test_a_variant_comes_before_an_experiment_of_its_name(lab: Smoke):
    figures_of(lab, "base", "secure")
    assert difference(lab.path, "as-base", "base") == {}
    assert difference(lab.path, "as-base", commit(lab, "base")) == difference(
        lab.path, "base", "secure"
    )


def test_diff_refuses_what_it_cannot_compare_in_one_line(lab: Smoke):
    unknown = told(lab, "base", "nobody")
    assert "nobody: no variant (base, insecure, secure), experiment (" in unknown
    assert "as-base" in unknown

    empty = lab.run("git", "commit-tree", "-m", "empty", lab.run("git", "mktree").stdout.strip())
    assert f"no {METRICS} in it" in told(lab, "base", empty.stdout.strip())

    # Two experiments of one name, of other commits than the present one.
    made = [commit(lab, "as-base"), commit(lab, "as-secure")]
    for each, start in zip(made, ("11", "22"), strict=True):
        lab.run("git", "update-ref", f"refs/exps/{start}/{'0' * 38}/twice", each)
    assert "2 experiments have this name; say " in (both := told(lab, "base", "twice"))
    assert all(each[:7] in both for each in made)

    lab.params({"behaviour.confidence": 0.9})
    assert "behaviour@base would run again; run `dvc repro`" in told(lab, "base", "secure")
    assert difference(lab.path, "as-base", "as-secure")  # which have nothing to do with it
    lab.run("git", "checkout", "--quiet", "params.yaml")

    lab.params({"imported": {"mine": {"source": "path", "id": "x"}}})
    every = ["base", "insecure", "secure", "mine"]
    lab.params({"drawn": every, "variants": every})
    assert "compare@mine" in told(lab, "base", "mine")
    lab.run("git", "checkout", "--quiet", "params.yaml")

    file = lab.path / "metrics/compare/base.json"
    file.write_text(file.read_text().replace("1", "2", 1))
    assert "compare@base would run again" in told(lab, "base", "secure")
    file.unlink()
    assert "compare/base.json: missing" in told(lab, "base", "secure")
    lab.run("git", "restore", "metrics")


def test_diff_needs_no_data(smoke: Smoke, tmp_path: Path):
    """A fresh clone has the metrics; nothing has to be pulled for their difference."""
    clone = smoke.clone(tmp_path / "clone", cache=False)
    assert not (clone.path / "models").exists()
    assert difference(clone.path, "base", "insecure") == difference(smoke.path, "base", "insecure")


def test_the_table_of_experiments_fits_a_page(lab: Smoke):
    """Columns that nobody compares are hidden; those that differ are not, figures or parameters."""
    lab.run("dvc", "exp", "remove", "--all-commits")
    figures_of(lab, "control", "secure")
    figures_of(lab, "itself", "base")
    borrow_environment(lab.path)
    table = lab.run("make", "table").stdout.splitlines()
    assert max(map(len, table)) <= 120, table
    header = next(line.split() for line in table if "Experiment" in line)
    assert {"subject", "answers.code", "code_mode.chosen.gap", "refusal.chosen.gap"} < set(header)
    assert {"control", "itself"} <= {line.split("[")[-1].split("]")[0] for line in table}
    more = lab.run("make", "table", "DROP=refusal", "KEEP=answers.prose").stdout
    assert "answers.prose" in more and "refusal" not in more
