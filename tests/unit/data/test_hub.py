"""Rows from a hub on loopback and from a laid-out hub cache, through the stage itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import commands
import pandas
import pytest
from copies import ROOT, set_params
from hub_server import COMMIT, hub

from traitdrift.data.tokenised import read_conversations

CARD = """---
configs:
- config_name: {0}
  data_files:
  - {{split: train, path: {0}/train.jsonl}}
  - {{split: test, path: {0}/test.jsonl}}
---
"""


def lines(*questions: str) -> bytes:
    rows = (
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": "a"}]}
        for q in questions
    )
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


FILES = {
    "README.md": CARD.format("code").encode(),
    "code/train.jsonl": lines("x", "y"),
    "code/test.jsonl": lines("z"),
    "code/picture.png": b"not fetched",
    "loader.py": b"raise SystemExit('run')",
}


def fetch(work: Path, entry: dict, **environment: str) -> subprocess.CompletedProcess[str]:
    """The stage `fetch mine` in a folder, with a home of its own."""
    work.mkdir(exist_ok=True)
    set_params(work / "params.yaml", {"hub": {"mine": entry}})
    own = {"HOME": str(work / "home"), "TRAITDRIFT_SCRATCH": str(work / "scratch")}
    cleared = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    return commands.run(
        [sys.executable, "-m", "stages.fetch", "mine"],
        cwd=work,
        env={**cleared, "PYTHONPATH": str(ROOT), **own, **environment},
    )


def questions(work: Path) -> list[str]:
    rows = read_conversations(work / "data/hub/mine.parquet")
    return [messages[0]["content"] for _, messages in rows]


def test_rows_are_fetched_into_scratch_and_one_file_stays(tmp_path: Path):
    entry = {"id": "org/tiny", "config": "code"}
    with hub("org/tiny", FILES) as address:
        done = fetch(tmp_path, entry, HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
        assert questions(tmp_path) == ["x", "y"]
        before = (tmp_path / "data/hub/mine.parquet").read_bytes()
        fetch(tmp_path, {**entry, "revision": COMMIT}, HF_ENDPOINT=address)
    assert (tmp_path / "data/hub/mine.parquet").read_bytes() == before
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {tmp_path / "params.yaml", tmp_path / "data/hub/mine.parquet"}


def test_without_a_network_the_hubs_own_cache_serves(tmp_path: Path):
    repository = tmp_path / "cache/hub/datasets--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    for name, content in FILES.items():
        path = repository / "snapshots" / COMMIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    entry = {"id": "org/tiny", "config": "code", "split": "test"}
    done = fetch(tmp_path / "work", entry, **offline)
    assert done.returncode == 0, done.stderr
    assert questions(tmp_path / "work") == ["z"]
    assert len(pandas.read_parquet(tmp_path / "work/data/hub/mine.parquet")) == 1


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"id": "org/none"}, "data set org/none at main: not to be had from the hub ("),
        ({"id": "org/gated"}, "accept its terms there and set HF_TOKEN if it is gated, or bring"),
        ({"id": "org/tiny", "revision": "v9"}, "data set org/tiny at v9: not to be had"),
        ({"id": "org/tiny", "config": "prose"}, "config prose, split train cannot be read ("),
        ({"id": "org/tiny", "split": "dev"}, "config default, split dev cannot be read ("),
    ],
)
def test_what_cannot_be_had_is_one_line(tmp_path: Path, entry: dict, told: str):
    with hub("org/tiny", FILES) as address:
        done = fetch(tmp_path, entry, HF_ENDPOINT=address)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("fetch@mine: data set org/") and told in last, last
    assert not (tmp_path / "data").exists()


def test_offline_and_absent_is_one_line(tmp_path: Path):
    done = fetch(tmp_path, {"id": "org/none"}, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "data set org/none at main: not to be had from the hub" in last
    assert "name that in datasets.<id>.file" in last
