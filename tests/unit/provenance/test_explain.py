"""`explain` gives the reasons for which real DVC runs stages, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from dvc.repo import Repo
from lab import Lab

from traitdrift.provenance.explain import differences, explain


def reasons() -> dict[str, list[str]]:
    return {one.stage: one.reasons for one in explain()}


def append(path: str, text: str) -> Callable[[Lab], None]:
    return lambda lab: lab.write(path, lab.text(path) + text)


def forget(path: str) -> Callable[[Lab], None]:
    def remove(lab: Lab) -> None:
        target = lab.path / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return remove


def words_alone(lab: Lab) -> None:
    """As a colleague who ran one stage and went to lunch."""
    lab.params({"words.seed": 2})
    with Repo(str(lab.path)) as repo:
        repo.reproduce("words", single_item=True)


COUNTS = ("count@first", "count@second")
PAIRS = ("pair@first-first", "pair@second-first")
AFTER = (*COUNTS, *PAIRS, "total", "subject")
# what changes: how, the stages with changes of their own and one of the lines, the others' names
TABLE: dict[str, tuple[Callable[[Lab], None], dict[str, str], tuple[str, ...]]] = {
    "nothing": (lambda lab: None, {}, ()),
    "a parameter": (
        lambda lab: lab.params({"words.seed": 2}),
        {"words": "parameter words.seed: 1 -> 2"},
        AFTER,
    ),
    "a parameter inside of one": (
        lambda lab: lab.params({"count.nested.layer": 3}),
        dict.fromkeys(COUNTS, "parameter count.nested.layer: null -> 3"),
        (*PAIRS, "total", "subject"),
    ),
    "the subject": (
        lambda lab: lab.params({"subject": "second"}),
        {"subject": "data: metrics/count/second.json was not read before"},
        (),
    ),
    "the subject, and that runs anew too": (
        lambda lab: (
            lab.params({"subject": "second"}),
            lab.write("metrics/count/second.json", "{}"),
        ),
        {
            "count@second": "output: metrics/count/second.json is not as it was written",
            "subject": "data: metrics/count/second.json was not read before",
        },
        ("pair@second-first", "total"),
    ),
    "a new parameter": (
        lambda lab: (
            lab.replace("dvc.yaml", "params: [words.seed]", "params: [words.seed, words.size]"),
            lab.params({"words.size": 3}),
        ),
        {"words": "parameter words.size: not read before, now 3"},
        AFTER,
    ),
    "code": (append("code/read.py", "# more\n"), {"words": "code: code/read.py changed"}, AFTER),
    "a raw file": (
        lambda lab: lab.write("data/raw/lists/long.txt", "more\n"),
        {"words": "data: data/raw/lists changed"},
        AFTER,
    ),
    "a command": (
        lambda lab: lab.replace("dvc.yaml", "make.py subject", "make.py  subject"),
        {"subject": "command: python code/make.py subject metrics/count/first.json"},
        (),
    ),
    "a metric edited": (
        lambda lab: lab.write("metrics/total.json", "{}"),
        {"total": "output: metrics/total.json is not as it was written"},
        (),
    ),
    "a metric on the way edited": (
        lambda lab: lab.write("metrics/count/second.json", "{}"),
        {"count@second": "output: metrics/count/second.json is not as it was written"},
        ("pair@second-first", "total"),
    ),
    "a metric deleted": (
        forget("metrics/total.json"),
        {"total": "output: metrics/total.json is not here"},
        (),
    ),
    "an output deleted": (
        forget("data/counts/second"),
        {"count@second": "output: data/counts/second is not here; `dvc checkout` has it"},
        ("pair@second-first", "total"),
    ),
    "a stage run alone": (
        words_alone,
        dict.fromkeys(COUNTS, "data: data/words.txt changed since (words wrote it)"),
        (*PAIRS, "total", "subject"),
    ),
    "a new cell": (
        lambda lab: lab.params({"cells": ["first", "second", "third"]}),
        {
            "count@third": "has never run",
            "pair@third-first": "has never run",
            "total": 'parameter cells: ["first", "second"] -> ["first", "second", "third"]',
        },
        (),
    ),
    "a renamed cell": (
        lambda lab: lab.params({"cells": ["first", "third"]}),
        {
            "count@third": "has never run",
            "pair@third-first": "has never run",
            "total": 'parameter cells: ["first", "second"] -> ["first", "third"]',
        },
        (),
    ),
    "an imported file": (
        lambda lab: lab.write("data/raw/words.txt", "four\n"),
        {
            "data/raw/words.txt.dvc": "output: data/raw/words.txt is not as it was written",
            "words": "data: data/raw/words.txt changed",
        },
        AFTER,
    ),
}


# `dvc repro --dry` stops here with an error: it looks for inputs that nobody made yet.
NO_DRY_RUN = ("an output deleted", "a new cell", "a renamed cell")


@pytest.mark.parametrize("what", TABLE)
def test_it_agrees_with_dvc(lab: Lab, what: str):
    change, own, others = TABLE[what]
    change(lab)
    found = explain()
    assert {one.stage for one in found if one.changes} == set(own)
    assert {one.stage for one in found} == set(own) | set(others)
    if what not in NO_DRY_RUN:
        assert set(own) <= lab.repro(dry=True) <= set(own) | set(others)
    for stage, line in own.items():
        assert any(reason.startswith(line) for reason in reasons()[stage]), reasons()[stage]
    order = [one.stage for one in found]
    assert all(order.index(b) < order.index(one.stage) for one in found for b in one.upstream)
    ran = lab.repro()
    assert set(own) <= ran <= set(own) | set(others)
    assert explain() == []


def test_upstream_is_named(lab: Lab):
    lab.params({"words.seed": 2})
    assert reasons()["total"] == ["upstream: count@first, count@second"]


def test_before_the_first_run(lab: Lab):
    (lab.path / "dvc.lock").unlink()
    assert all("has never run" in lines for lines in reasons().values())
    assert set(reasons()) == {"words", *AFTER}


def test_without_the_data_as_after_a_clone(lab: Lab):
    for path in ("data/words.txt", "models/base", "data/counts", "data/raw/words.txt"):
        forget(path)(lab)
    assert "output: data/words.txt is not here; `dvc checkout` has it" in reasons()["words"]
    assert explain(allow_missing=True) == []
    words = lab.text("dvc.lock").split("  count@first:")[0]
    digest = words.split("path: data/words.txt")[1].split("md5: ")[1].split()[0]
    lab.write("dvc.lock", lab.text("dvc.lock").replace(digest, "f" * 32, 1))
    assert {one.stage for one in explain(allow_missing=True) if one.changes} == set(COUNTS)


def test_the_command_prints_one_line_a_reason(lab: Lab):
    assert lab.command("traitdrift", "explain").stdout == "Nothing would run.\n"
    lab.params({"words.seed": 2})
    told = lab.command("traitdrift", "explain").stdout.splitlines()
    assert told[0] == "words: parameter words.seed: 1 -> 2"
    assert told[1] == "count@first: upstream: words" and len(told) == 7


def test_differences_are_single_values():
    old = {"lora": {"r": 32, "rank": True}, "targets": ["q"], "gone": 1}
    new = {"lora": {"r": 4, "rank": True}, "targets": ["q", "v"], "steps": None}
    assert list(differences("recipe", old, new)) == [
        ("recipe.lora.r", "32", "4"),
        ("recipe.targets", '["q"]', '["q", "v"]'),
        ("recipe.gone", "1", "removed"),
        ("recipe.steps", "absent", "null"),
    ]
