"""What docs/troubleshooting.md quotes of DVC is what DVC says, in the small pipeline."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable

import printed_messages
import pytest
from copies import ROOT
from dvc.repo import Repo
from lab import Lab


def a_stage_fails(lab: Lab) -> str:
    lab.write("code/read.py", "raise SystemExit(3)\n")
    return said(lab, "repro")


def an_input_is_gone(lab: Lab) -> str:
    shutil.rmtree(lab.path / "data/raw/lists")
    return said(lab, "repro", "words")


def another_run_is_at_it(lab: Lab) -> str:
    """As a `dvc repro` leaves it while a stage runs, or when it is killed: this process is it."""
    writer = {str(lab.path / "metrics/total.json"): {"pid": os.getpid(), "cmd": "dvc repro"}}
    lab.write(".dvc/tmp/rwlock", json.dumps({"read": {}, "write": writer}))
    return said(lab, "repro", "--force", "--single-item", "total")


def another_command_holds_the_lock(lab: Lab) -> str:
    with Repo(str(lab.path)) as repo, repo.lock:
        return said(lab, "repro")


def nobody_pushed(lab: Lab) -> str:
    (lab.path.parent / "remote").mkdir()
    lab.command("dvc", "remote", "add", "--default", "folder", str(lab.path.parent / "remote"))
    shutil.rmtree(lab.path / ".dvc/cache")
    for made in ("data/counts", "models"):
        shutil.rmtree(lab.path / made)
    told = said(lab, "pull", "count@first")
    lab.params({"count.nested.tolerance": 1.0})
    return told + said(lab, "repro", "--pull", "--allow-missing", "count@first")


def an_output_would_be_lost(lab: Lab) -> str:
    shutil.rmtree(lab.path / ".dvc/cache")
    lab.write("data/counts/first/content.json", "{}\n")
    return said(lab, "checkout", "count@first")


def two_branches_changed_the_lock(lab: Lab) -> str:
    lab.write("dvc.lock", "<<<<<<< HEAD\n" + lab.text("dvc.lock"))
    return said(lab, "repro")


def it_was_ended_while_it_wrote_the_lock(lab: Lab) -> str:
    whole = lab.text("dvc.lock")
    lab.write("dvc.lock", whole[: whole.rindex("hash: ") + len("hash: ")])
    return said(lab, "repro")


# DVC in an instant in which another clone, which adds the same object, has just removed it.
TAKEN_AWAY = """\
import os, sys
from dvc.cli import main
from dvc_data.hashfile.db.local import LocalHashFileDB as Cache
check = Cache.check
def taken(cache, oid, *others):
    os.unlink(cache.oid_to_path(oid))
    return check(cache, oid, *others)
Cache.check = taken
sys.exit(main(sys.argv[1:]))
"""


def another_clone_adds_the_same_file(lab: Lab) -> str:
    lab.write("taken.py", TAKEN_AWAY)
    lab.params({"words.seed": 2})
    done = lab.command("taken", "repro", "--single-item", "words")
    assert done.returncode, done.stdout
    return done.stderr


def a_stage_is_misspelt(lab: Lab) -> str:
    return said(lab, "repro", "counts")


def a_parameter_is_gone(lab: Lab) -> str:
    lab.replace("params.yaml", "words: {seed: 1}\n", "")
    return said(lab, "repro", "words")


def what_a_cell_is_made_of_is_gone(lab: Lab) -> str:
    lab.replace("params.yaml", "cells: [first, second]\n", "")
    return said(lab, "repro")


def parameters_are_no_yaml(lab: Lab) -> str:
    lab.replace("params.yaml", "cells: [first, second]", "cells: [first")
    return said(lab, "repro")


def git_holds_an_output(lab: Lab) -> str:
    lab.git("add", "--force", "data/words.txt")
    lab.commit()
    return said(lab, "repro", "--force", "--single-item", "words")


def the_clone_is_elsewhere(lab: Lab) -> str:
    shutil.rmtree(lab.path / ".dvc")
    return said(lab, "repro")


MISSING = "Checkout failed for following targets:"
PROVOKED: dict[Callable[[Lab], str], tuple[str, ...]] = {
    a_stage_fails: ("failed to reproduce '…': failed to run: …, exited with …",),
    an_input_is_gone: ("[Errno 2] No such file or directory: '…'",),
    another_run_is_at_it: (
        "'…' is busy, it is being blocked by:",
        "If there are no processes with such PIDs, you can manually remove '…' and try again.",
    ),
    another_command_holds_the_lock: (
        "Unable to acquire lock. Most likely another DVC process is running or was terminated "
        "abruptly.",
    ),
    nobody_pushed: (
        "Some of the cache files do not exist neither locally nor on remote. Missing cache files:",
        f"failed to pull data from the cloud - {MISSING}",
        f"failed to reproduce '…': {MISSING}",
    ),
    an_output_would_be_lost: (
        "Can't remove the following unsaved files without confirmation. Use `--force` to force.",
    ),
    another_clone_adds_the_same_file: (
        "failed to reproduce '…': unable to remove '…' without a confirmation. Use `-f` to force.",
    ),
    it_was_ended_while_it_wrote_the_lock: ("'…dvc.lock' validation failed",),
    two_branches_changed_the_lock: ("'…dvc.lock' is invalid (possible merge conflicts).",),
    a_stage_is_misspelt: ("Stage '…' not found inside 'dvc.yaml' file",),
    a_parameter_is_gone: ("Parameters '…' are missing from 'params.yaml'.",),
    what_a_cell_is_made_of_is_gone: ("failed to parse '…' in 'dvc.yaml': Could not find '…'",),
    parameters_are_no_yaml: ("unable to read: 'params.yaml', YAML file structure is corrupted:",),
    git_holds_an_output: ("output '…' is already tracked by SCM (e.g. Git).",),
    the_clone_is_elsewhere: ("you are not inside of a DVC repository",),
}


@pytest.mark.parametrize("provoke", PROVOKED, ids=lambda provoke: provoke.__name__)
def test_dvc_says_what_the_page_quotes(provoke: Callable[[Lab], str], lab: Lab):
    told = provoke(lab)
    for message in PROVOKED[provoke]:
        assert printed_messages.pattern(message).search(told), told


def test_the_page_quotes_nothing_else():
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    quoted = [entry for entry in printed_messages.entries(page) if entry.section == "What DVC says"]
    assert {one for entry in quoted for one in entry.messages} == {
        one for messages in PROVOKED.values() for one in messages
    }


def said(lab: Lab, *arguments: str) -> str:
    done = lab.command("dvc", *arguments)
    assert done.returncode, done.stdout
    return done.stdout + done.stderr
