"""Traces over real DVC: from a number back to raw files, and what breaks the way."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from copies import ROOT
from dvc.repo import Repo
from lab import Lab

from traitdrift.provenance import trace_text
from traitdrift.provenance.lockfile import read_lock, upstream
from traitdrift.provenance.trace import Link, Trace, trace


def broken(found: Trace) -> set[tuple[str, str, str, str]]:
    return {(n.step, n.kind, n.name, n.state) for n in found.links if not n.holds}


def link(found: Trace, step: str, name: str) -> Link:
    (one,) = [n for n in found.links if (n.step, n.name) == (step, name)]
    return one


def test_a_number_is_followed_to_raw_files_parameters_code_and_models(lab: Lab):
    found = trace("metrics/subject.json:value")
    assert found.holds and found.ends == ["subject"]
    assert found.value == json.loads(lab.text("metrics/subject.json"))["value"]
    assert list(found.steps) == ["words", "count@first", "subject"]
    assert link(found, "subject", "subject").recorded == "first"
    assert link(found, "count@first", "count.nested").found == {"tolerance": 1e-06, "layer": None}
    assert link(found, "words", "words.seed").kind == "parameter"
    assert link(found, "words", "code/read.py").kind == "code"
    assert link(found, "words", "data/raw/lists").kind == "raw"
    words = link(found, "words", "data/raw/words.txt")
    assert words.note.startswith("from words.txt of ") and len(words.note.split(" at ")[1]) == 7
    assert link(found, "subject", "metrics/count/first.json").kind == "input"
    assert found.digest == link(found, "subject", "metrics/subject.json").recorded
    assert {(w.path, w.model, w.base_digest) for w in found.weights} == {
        ("models/base", "tiny", "ba5e" * 16)
    }


def test_cells_of_a_matrix_and_files_in_output_folders(lab: Lab):
    assert trace("plots/pair/second-first.csv").ends == ["pair@second-first"]
    inside = trace("data/counts/first/content.json:by.name.0.0")
    assert inside.ends == ["count@first"] and inside.holds
    assert [w.adapter_digest for w in inside.weights] == [None, "count.first"]
    assert set(trace("plots/pair").ends) == {"pair@first-first", "pair@second-first"}
    total = trace("metrics/total.json")  # reads a folder in which two stages write
    assert {"count@first", "count@second"} < set(total.steps) and total.holds


def test_a_variant_may_be_called_as_the_record_of_the_model_is(lab: Lab):
    lab.params({"cells": ["first", "base"], "subject": "base"})
    lab.repro()
    found = trace("metrics/subject.json")
    assert "count@base" in found.steps and found.holds
    assert [w.path for w in found.weights] == ["models/base"]


def test_keys_may_hold_dots_and_look_like_numbers(lab: Lab):
    assert trace("metrics/subject.json:by.name.0.1.a.b").value == 1
    assert trace("metrics/subject.json:by.name.0.1").value == {"a.b": 1}
    # The name that was meant is the longest that fits.
    lab.write("metrics/subject.json", '{"a": {"b": 1}, "a.b": 2}')
    assert trace("metrics/subject.json:a.b").value == 2


def test_a_path_is_as_seen_from_where_the_reader_stands(lab: Lab, monkeypatch):
    assert trace("metrics/subject.json", root=lab.path / "metrics" / "..").holds
    monkeypatch.chdir(lab.path / "metrics")
    assert trace("./subject.json").path == "metrics/subject.json"
    assert trace(str(lab.path / "metrics/subject.json")).path == "metrics/subject.json"


def rerun_words_alone(lab: Lab) -> None:
    lab.params({"words.seed": 2})
    with Repo(str(lab.path)) as repo:
        repo.reproduce("words", single_item=True)


def forget_the_code(lab: Lab) -> None:
    (lab.path / "code/read.py").unlink()


def lock_of_words(lab: Lab) -> str:
    return read_lock(lab.text("dvc.lock"))["words"].writes[0].digest


def edit_what_words_wrote(lab: Lab) -> None:
    """Of the entries with that digest the first is the maker's."""
    digest = lock_of_words(lab)
    lab.write("dvc.lock", lab.text("dvc.lock").replace(digest, "f" * 32, 1))


# what somebody does: the links that it breaks
BREAKS: dict[str, tuple[Callable[[Lab], None], set[tuple[str, str, str, str]]]] = {
    "a metric edited by hand": (
        lambda lab: lab.replace("metrics/subject.json", '"subject"', '"mine"'),
        {("subject", "output", "metrics/subject.json", "differs")},
    ),
    "a metric deleted": (
        lambda lab: (lab.path / "metrics/subject.json").unlink(),
        {("subject", "output", "metrics/subject.json", "missing")},
    ),
    "a metric on the way edited by hand": (
        lambda lab: lab.write("metrics/count/first.json", "{}"),
        {("subject", "input", "metrics/count/first.json", "differs")},
    ),
    "dvc.lock edited by hand: an output": (
        edit_what_words_wrote,
        {("count@first", "input", "data/words.txt", "not as written")},
    ),
    "dvc.lock edited by hand: a parameter": (
        lambda lab: lab.replace("dvc.lock", "words.seed: 1", "words.seed: 3"),
        {("words", "parameter", "words.seed", "differs")},
    ),
    "a stage before run by itself": (
        rerun_words_alone,
        {("count@first", "input", "data/words.txt", "not as written")},
    ),
    "code changed": (
        lambda lab: lab.write("code/read.py", lab.text("code/read.py") + "# more\n"),
        {("words", "code", "code/read.py", "differs")},
    ),
    "code deleted": (forget_the_code, {("words", "code", "code/read.py", "missing")}),
    "a raw file added": (
        lambda lab: lab.write("data/raw/lists/long.txt", "more\n"),
        {("words", "raw", "data/raw/lists", "differs")},
    ),
    "an imported file edited": (
        lambda lab: lab.write("data/raw/words.txt", "four\n"),
        {("words", "raw", "data/raw/words.txt", "differs")},
    ),
    "a parameter changed": (
        lambda lab: lab.params({"count.nested.layer": 3}),
        {("count@first", "parameter", "count.nested", "differs")},
    ),
    "a parameter removed": (
        lambda lab: lab.replace("params.yaml", "{seed: 1}", "{}"),
        {("words", "parameter", "words.seed", "missing")},
    ),
    "a command changed": (
        lambda lab: lab.replace("dvc.yaml", "python code/make.py subject", "python3 code/make.py"),
        {("subject", "command", "command", "differs")},
    ),
    "a dependency and a parameter declared": (
        lambda lab: lab.replace(
            "dvc.yaml", "params: [words.seed]", "params: [words.seed, words.more]"
        ),
        {("words", "parameter", "words.more", "not recorded")},
    ),
}


@pytest.mark.parametrize("act", BREAKS)
def test_exactly_these_links_break(lab: Lab, act: str):
    do, expected = BREAKS[act]
    do(lab)
    assert broken(trace("metrics/subject.json")) == expected


def test_both_digests_of_a_broken_chain_are_named(lab: Lab):
    read = lock_of_words(lab)
    edit_what_words_wrote(lab)
    one = link(trace("metrics/subject.json"), "count@first", "data/words.txt")
    assert one.recorded == read and one.note == f"words wrote {'f' * 32}"


def test_data_that_is_only_in_the_cache_or_the_remote_breaks_nothing(lab: Lab):
    for path in ("data/words.txt", "models/base", "data/raw/words.txt", "data/counts"):
        gone = lab.path / path
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    found = trace("metrics/subject.json")
    assert found.holds and len(found.weights) == 1
    words = link(found, "count@first", "data/words.txt")
    assert (words.state, words.found, words.note) == ("not here", None, "in the cache")
    assert link(found, "words", "data/raw/words.txt").state == "not here"
    inside = trace("data/counts/first/content.json:value")  # read from the cache
    assert inside.holds and inside.value == trace("metrics/count/first.json:value").value

    shutil.rmtree(lab.path / ".dvc/cache")
    found = trace("metrics/subject.json")
    assert found.holds and found.weights == []
    assert "dvc pull" in link(found, "count@first", "data/words.txt").note
    with pytest.raises(ValueError, match=r"content.json: not here.*dvc pull"):
        trace("data/counts/first/content.json:value")


def test_an_import_that_was_updated_and_not_read_since(lab: Lab):
    digest = link(trace("metrics/subject.json"), "words", "data/raw/words.txt").recorded
    lab.replace("data/raw/words.txt.dvc", f"- md5: {digest}", f"- md5: {'f' * 32}")
    (lab.path / "data/raw/words.txt").unlink()
    assert broken(trace("metrics/subject.json")) == {
        ("words", "raw", "data/raw/words.txt", "missing")
    }


def test_a_removed_cell(lab: Lab):
    lab.params({"cells": ["first"]})
    gone = trace("metrics/count/second.json")
    assert broken(gone) == {("count@second", "command", "command", "missing")}
    assert "prune" in link(gone, "count@second", "command").note
    # It stands in a folder that `total` reads, and is no longer a part of the pipeline.
    total = trace("metrics/total.json")
    assert "count@second" not in total.steps
    assert broken(total) == {("total", "parameter", "cells", "differs")}


def test_at_a_revision(lab: Lab):
    lab.params({"words.seed": 5})
    lab.replace("metrics/subject.json", '"subject"', '"mine"')
    assert not trace("metrics/subject.json").holds
    found = trace("metrics/subject.json:name", rev="HEAD")
    assert found.holds and found.value == "subject" and len(found.commit) == 40
    assert link(found, "words", "words.seed").workspace == "differs"
    assert link(found, "subject", "metrics/subject.json").workspace == "differs"
    assert link(found, "words", "code/read.py").workspace == "same"
    # What DVC keeps lies in no commit, and the workspace has it.
    words = link(found, "count@first", "data/words.txt")
    assert (words.state, words.workspace) == ("not here", "same")
    assert len(found.weights) == 1


def test_a_revision_that_was_broken_when_it_was_committed(lab: Lab):
    lab.replace("metrics/subject.json", '"subject"', '"mine"')
    lab.commit()
    lab.git("checkout", "HEAD~1", "--", "metrics/subject.json")
    found = trace("metrics/subject.json", rev="HEAD")
    assert broken(found) == {("subject", "output", "metrics/subject.json", "differs")}
    assert link(found, "subject", "metrics/subject.json").workspace == "same"


def test_an_experiment(lab: Lab):
    with Repo(str(lab.path)) as repo:
        repo.experiments.run(name="em", params=["subject=second"], tmp_dir=True)
    found = trace("metrics/subject.json:value", rev="em")
    assert found.holds and list(found.steps) == ["words", "count@second", "subject"]
    assert link(found, "subject", "subject").workspace == "differs"
    lab.replace("dvc.yaml", "  subject:\n", "  other:\n")
    lab.replace("dvc.yaml", "-- metrics/subject.json", "-- metrics/other.json")
    lab.replace("dvc.yaml", "      - metrics/subject.json", "      - metrics/other.json")
    with pytest.raises(ValueError, match=r"other.json: no stage makes this at em"):
        trace("metrics/other.json", rev="em")


def conflict(lab: Lab) -> None:
    lab.write("dvc.lock", "<<<<<<< ours\n" + lab.text("dvc.lock"))


def nothing(lab: Lab) -> None:
    pass


# what is wrong: how it comes about, target, revision, what the one line says
BAD: dict[str, tuple[Callable[[Lab], object], str, str | None, str]] = {
    "revision": (nothing, "metrics/total.json", "nope", "nope: no commit, branch, tag or exp"),
    "path": (nothing, "metrics/totl.json", None, "is metrics/total.json meant"),
    "raw file": (nothing, "data/raw/words.txt", None, "no stage makes this here"),
    "path outside": (nothing, "../x.json", None, "no stage makes this here"),
    "file in a folder": (nothing, "models/base/x.json", None, "not in what words wrote; `ls"),
    "key": (nothing, "metrics/total.json:valu", None, "no valu in it; nearest: value"),
    "empty key": (nothing, "metrics/total.json:", None, "nearest: value"),
    "key in a table": (nothing, "plots/pair/first-first.csv:0", None, "without it"),
    "not JSON": (
        lambda p: p.write("metrics/total.json", "{"),
        "metrics/total.json:a",
        None,
        "JSON",
    ),
    "lock": (lambda p: (p.path / "dvc.lock").unlink(), "metrics/total.json", None, "`dvc repro`"),
    "merge": (conflict, "metrics/total.json", None, "dvc.lock: not as DVC writes it"),
    "cut lock": (
        lambda p: p.replace("dvc.lock", "    cmd: python code/make.py total", "    x: y"),
        "metrics/total.json",
        None,
        "stage total is not as DVC writes it",
    ),
    "never run": (
        lambda p: p.params({"cells": ["first", "third"]}),
        "metrics/count/third.json",
        None,
        "count@third makes this and has not run here; `dvc repro count@third`",
    ),
    "pipeline": (lambda p: p.write("dvc.yaml", "stages: [1]"), "metrics/total.json", None, "DVC"),
    "no repository": (
        lambda p: shutil.rmtree(p.path / ".dvc"),
        "metrics/total.json",
        None,
        "not in a DVC repository",
    ),
    "before DVC": (nothing, "metrics/total.json", "before", "before: no DVC repository yet"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_says_what_to_do(lab: Lab, what: str):
    spoil, target, rev, said = BAD[what]
    if rev == "before":
        lab.git("branch", "here")
        lab.git("checkout", "--orphan", "before")
        lab.git("rm", "-r", "-f", "--quiet", ".")
        lab.git("commit", "--allow-empty", "--message", "empty")
        lab.git("checkout", "here")
    spoil(lab)
    with pytest.raises(ValueError, match=re.escape(said)):
        trace(target, rev=rev)


def test_an_error_is_one_line_without_a_traceback(lab: Lab):
    lab.write("dvc.yaml", "stages: [1]")
    done = lab.command("traitdrift", "trace", "metrics/total.json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("traitdrift: DVC says: ")


def test_the_printed_tree(lab: Lab):
    done = lab.command("traitdrift", "trace", "metrics/total.json:value")
    assert done.returncode == 0 and "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(
        f"metrics/total.json:value = {trace('metrics/total.json:value').value}"
    )
    assert lines[-1] == "Every link holds."
    for text in ("same: code/make.py", "parameter  words.seed = 1  same", "from words.txt of"):
        assert text in done.stdout
    # What stands twice in the way stands once in the tree.
    assert done.stdout.count("─ words\n") == 1 and "by words: see above" in done.stdout
    assert "weights  tiny sha256 ba5eba5e" in done.stdout


def test_the_head_of_the_tree_names_the_folder_of_a_file(lab: Lab):
    found = trace("data/counts/first/content.json")
    (folder,) = found.of("count@first", "output")
    head = trace_text.of(found).label.plain
    assert head == (
        f"data/counts/first/content.json  {trace_text.short(found.digest)}"
        f"  data/counts/first  {trace_text.short(folder.recorded)}  same"
    )


def test_the_printed_tree_of_a_broken_trace(lab: Lab):
    lab.params({"count.nested.layer": 3})
    lab.write("code/make.py", lab.text("code/make.py") + "# more\n")
    done = lab.command("traitdrift", "trace", "metrics/total.json")
    assert done.returncode == 1
    told = done.stdout.partition("BROKEN:\n")[2]
    assert "  parameter count.nested.layer: was null, is 3 (count@first, count@second)\n" in told
    assert (
        told.count("code/make.py") == 1 and "(words, count@first, count@second and 1 more)" in told
    )
    assert "python -m traitdrift explain" in told


def test_json_is_the_trace(lab: Lab):
    done = lab.command("traitdrift", "trace", "metrics/total.json:value", "--json")
    told = json.loads(done.stdout)
    assert told["holds"] is True and done.returncode == 0
    assert Trace.model_validate({k: v for k, v in told.items() if k != "holds"}) == trace(
        "metrics/total.json:value"
    )
    lab.write("metrics/total.json", '{"value": 0}')
    done = lab.command("traitdrift", "trace", "metrics/total.json:value", "--json")
    assert json.loads(done.stdout)["holds"] is False and done.returncode == 1


def test_stages_may_import_it_without_dvc_and_torch():
    code = (
        "import sys, traitdrift.provenance.trace;"
        "sys.exit(any(m in sys.modules for m in ('dvc', 'torch')))"
    )
    assert commands.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_upstream_names_who_makes_nothing(lab: Lab):
    steps = read_lock(Path("dvc.lock").read_text())
    assert list(upstream(steps, "metrics/total.json"))[-1] == "total"
    with pytest.raises(ValueError, match=r"data/raw/words.txt: no stage makes this"):
        upstream(steps, "data/raw/words.txt")


@pytest.mark.parametrize(
    "text", ["schema: '2.0'\nstages:\n", "schema: '2.0'\nstages: [a]\n", "a\n"]
)
def test_a_lock_that_is_cut_short_is_one_line(text: str):
    with pytest.raises(ValueError, match=r"^dvc\.lock: not as DVC writes it .*then `dvc repro`$"):
        read_lock(text)
