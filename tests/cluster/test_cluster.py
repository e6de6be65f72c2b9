"""`python -m traitdrift cluster` on two nodes: the same as `dvc repro`, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from copies import working_copy
from nodes import PIPELINE, Cluster, Node, Toy, wait
from ruamel.yaml import YAML

NAMES = {"first", "long", "mid-a", "mid-b", "apart", "last"}


def once(toy: Toy) -> bool:
    """Whether every stage has begun and ended once."""
    return all(
        sorted(one for one, *_ in toy.journal(it)) == sorted(NAMES) for it in ("begin", "end")
    )


def same(toy: Toy, serial: str) -> bool:
    """Whether dvc.lock says what a serial run says; in what order the earlier run has begun."""
    parse = YAML(typ="safe", pure=True).load
    return parse((toy.path / "dvc.lock").read_text()) == parse(serial)


def nothing_left(toy: Toy) -> None:
    wait(lambda: not toy.at_work(), 30)
    assert not (toy.path / ".dvc/tmp/rwlock").read_text().count("pid")


def test_a_run_leaves_what_a_serial_run_leaves(toy: Toy, second: Node, serial: str):
    done = toy.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["6 of 6 stages ran, the others were up to date"]
    assert once(toy)
    assert (toy.path / "dvc.lock").read_text() == serial
    assert "up to date" in toy.dvc("status")
    assert "Running stage 'long'" in (toy.path / ".dvc/tmp/cluster/long.log").read_text()
    nothing_left(toy)
    assert toy.run().stdout.startswith("0 of 6 stages ran")
    # Only what is stale, as DVC sees it: from the run cache, without the command.
    (toy.path / "out/first").unlink()
    assert toy.run("mid").stdout.startswith("1 of 3 stages ran")
    assert once(toy)


def test_a_node_that_dies_is_replaced_when_all_it_started_is_dead(
    toy: Toy, second: Node, serial: str
):
    toy.write("slow")
    with toy.started() as process:
        wait(lambda: toy.journal("begin", "long"))
        second.kill()
        (toy.path / "slow").unlink()  # for the second attempt
        told, _ = process.communicate(timeout=90)
    assert process.returncode == 0, told
    assert "long: lost on" in told
    (_, one, node, _), (_, other, another, _) = toy.journal("begin", "long")
    assert one != other and (node, another) == ("second", "head")
    assert [pid for _, pid, *_ in toy.journal("end", "long")] == [other]
    assert {twins for *_, twins in toy.journal("begin")} == {0}
    nothing_left(toy)
    assert (toy.path / "dvc.lock").read_text() == serial


def test_a_stage_that_fails_stops_what_needs_it_and_nothing_else(toy: Toy, serial: str):
    toy.write("fail-mid-a")
    done = toy.run()
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert next(line for line in told if line.startswith("mid@a: failed on ")).endswith(
        ": no such luck (.dvc/tmp/cluster/mid@a.log)"
    )
    assert "last: left out, it needs mid@a" in told
    assert told[-1] == (
        "traitdrift: failed: mid@a; 4 ran, 1 that need what failed did not; "
        "the logs are in .dvc/tmp/cluster"
    )
    assert {name for name, *_ in toy.journal("end")} == NAMES - {"mid-a", "last"}
    (toy.path / "fail-mid-a").unlink()
    assert toy.run().stdout.startswith("2 of 6 stages ran")
    assert same(toy, serial)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_nothing_running(toy: Toy, how: signal.Signals, serial: str):
    toy.write("slow")
    with toy.started() as process:
        wait(lambda: toy.journal("begin", "long"))
        process.send_signal(how)
        told, _ = process.communicate(timeout=60)
        if how != signal.SIGKILL:
            assert process.returncode == 130
            assert told.splitlines()[-1] == "traitdrift: interrupted; nothing is left running"
            assert toy.at_work() == []
        nothing_left(toy)
    assert toy.journal("end", "long") == []
    (toy.path / "slow").unlink()
    assert toy.run().returncode == 0
    assert same(toy, serial)


def test_what_others_run_is_tried_later_and_not_twice(toy: Toy):
    """`dvc repro` beside it, and the same command once more."""
    toy.write("slow")
    serial = [sys.executable, "-m", "dvc", "repro", "mid@a"]
    with commands.started(serial, cwd=toy.path, stdout=subprocess.DEVNULL) as dvc:
        wait(lambda: toy.journal("begin", "mid-a"))
        with toy.started("mid") as one, toy.started("mid") as other:
            told = [process.communicate(timeout=90)[0] for process in (one, other)]
        assert [process.wait() for process in (dvc, one, other)] == [0, 0, 0], told
    assert any("mid@a: later, " in text and "is busy" in text for text in told), told
    for name in ("first", "mid-a", "mid-b"):
        assert len(toy.journal("begin", name)) == 1, (name, told)


def test_what_dvc_remembers_of_a_dead_process_is_forgotten(toy: Toy, monkeypatch):
    """A process of that number may live on another machine: here it is this one."""
    from dvc.repo import Repo

    from traitdrift.cluster.graph import REPRO, Graph

    monkeypatch.chdir(toy.path)
    info = {"pid": os.getpid(), "cmd": " ".join(["dvc", *REPRO, "long"])}
    other = {**info, "cmd": " ".join(["dvc", *REPRO, "mid@a"])}
    out, dep = (str(toy.path / "out" / name) for name in ("long", "first"))
    listed = toy.path / ".dvc/tmp/rwlock"
    listed.write_text(json.dumps({"write": {out: info}, "read": {dep: [info, other]}}))
    with Repo() as repo:
        Graph(repo).forget("long")
    assert json.loads(listed.read_text()) == {"write": {}, "read": {dep: [other]}}


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ("{memory: 1e6}", "traitdrift: dvc.yaml: stage apart: no node has 1 CPUs, 0 GPUs and meta"),
        ("{cpus: two}", "traitdrift: dvc.yaml: stage apart: meta.cpus is 'two': "),
    ],
)
def test_what_fits_no_node_is_told_before_anything_runs(toy: Toy, meta: str, told: str):
    text = PIPELINE.replace("  apart:\n", f"  apart:\n    meta: {meta}\n")
    toy.write("dvc.yaml", text)
    done = toy.run()
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(told), done.stderr
    assert toy.journal("begin") == []


def test_without_a_cluster_or_with_a_target_unknown(toy: Toy):
    done = toy.run("nothing")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("traitdrift: DVC says: ")
    toy.env["RAY_ADDRESS"] = "127.0.0.1:1"
    done = toy.run()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("traitdrift: no Ray cluster at 127.0.0.1:1: ")
    assert "ray start --head" in line


def test_stages_of_this_repository(cluster: Cluster, tmp_path: Path):
    """Two that run no model: the same files and the same dvc.lock as by `dvc repro`."""
    here, serial = working_copy(tmp_path / "here"), working_copy(tmp_path / "serial")
    made = [f"data/synthetic/{name}.jsonl" for name in ("insecure", "secure", "benign")]
    made.append("metrics/study.json")
    for copy in (here, serial):
        (copy / "dvc.lock").unlink()
    for stage in ("synthesize", "study"):  # as in the order of the whole
        Toy(serial).dvc("repro", stage)
    done = Toy(here, cluster.address).run("study", "synthesize")
    assert done.returncode == 0, done.stderr
    for path in ("dvc.lock", *made):
        assert (here / path).read_bytes() == (serial / path).read_bytes(), path
