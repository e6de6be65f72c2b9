"""The graph of `cluster` is DVC's: its stages, its staleness, the order of a serial run's lock."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from lab import Lab
from ruamel.yaml import YAML

from traitdrift.cluster.attempt import failure
from traitdrift.cluster.graph import Graph

ROOT = Path(__file__).resolve().parents[3]


def test_stale_is_what_dvc_would_run(lab: Lab):
    with Repo() as repo:
        graph = Graph(repo)
        assert not any(map(graph.stale, graph.stages))
        assert graph.needs["count@first"] == {"words"}
        assert set(Graph(repo, ["count"]).stages) == {
            "data/raw/words.txt.dvc", "words", "count@first", "count@second"
        }  # fmt: skip
    lab.params({"count.nested.tolerance": 2e-6})
    with Repo() as repo:
        graph = Graph(repo)
        stale = {name for name in graph.stages if graph.stale(name)}
    assert stale == {"count@first", "count@second"} == lab.repro(dry=True) & stale


def test_a_lock_gets_the_order_of_a_serial_run(lab: Lab):
    serial = lab.text("dvc.lock")
    (lab.path / "dvc.lock").unlink()
    with Repo() as repo:
        graph = Graph(repo)
        head, *entries = re.split(r"(?m)^(?=  \S)", serial)
        lab.write("dvc.lock", head + "".join(reversed(entries)))
        graph.order_lock()
    assert lab.text("dvc.lock") == serial


def test_what_was_in_the_lock_keeps_its_place(lab: Lab):
    head, *entries = re.split(r"(?m)^(?=  \S)", lab.text("dvc.lock"))
    turned = head + "".join(reversed(entries))
    lab.write("dvc.lock", turned)
    with Repo() as repo:
        Graph(repo).order_lock()
    assert lab.text("dvc.lock") == turned


@pytest.mark.parametrize(
    ("log", "state", "told"),
    [
        ("> python x\n1\r2\ncuda: no\nERROR: failed to reproduce 'x'", "failed", "cuda: no"),
        ("# vm: dvc\nERROR: failed to reproduce 'x'", "failed", "ERROR: failed to reproduce 'x'"),
        ("ERROR: 'out/a' is busy, it is being blocked by:\n  (PID 3)", "busy", "'out/a' is busy"),
    ],
)  # fmt: skip
def test_the_last_line_of_a_log_says_why(log: str, state: str, told: str):
    assert failure(log, "vm") == (state, "vm", told)


def test_without_ray_the_extra_is_named(lab: Lab):
    done = lab.command("traitdrift", "cluster")
    if "No module named 'ray'" not in done.stderr:
        pytest.skip("Ray is installed")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.endswith("install trait-drift with its extra [cluster]")


def test_job_scripts_of_the_page_are_scripts():
    page = (ROOT / "docs/cluster.md").read_text()
    scripts = re.findall(r"```bash elsewhere\n(.*?)```", page, re.S)
    assert len(scripts) == 4
    for script in scripts:
        done = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, timeout=30
        )
        assert (done.returncode, done.stderr) == (0, "")
    (task,) = re.findall(r"```{code-block} yaml\n(.*?)```", page, re.S)
    assert {"resources", "setup", "run"} <= set(YAML(typ="safe", pure=True).load(task))
