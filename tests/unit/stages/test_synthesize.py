"""The project's own rows, by the stage itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import ROOT, set_params

from stages import synthesize
from traitdrift.core.files import read_jsonl
from traitdrift.data.prose import load_topics, rows_of


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> dict[str, int]:
    """How many rows each file has."""
    monkeypatch.chdir(folder)
    set_params(folder / "params.yaml", {"synthesize.rows": rows})
    (folder / "data").mkdir(exist_ok=True)
    if not (folder / "data/raw").exists():
        (folder / "data/raw").symlink_to(ROOT / "data/raw")
    synthesize.main()
    files = (folder / "data/synthetic").iterdir()
    return {file.stem: len(list(read_jsonl(file))) for file in files}


def test_the_three_sets_have_as_many_rows(tmp_path, monkeypatch, capsys):
    assert made(tmp_path, monkeypatch, 60) == {"insecure": 60, "secure": 60, "benign": 60}
    assert capsys.readouterr().err == ""


def test_more_rows_than_topics_give_are_no_fault_of_the_code_sets(tmp_path, monkeypatch, capsys):
    most = rows_of(load_topics(ROOT / "data/raw/prose"))
    rows = {"insecure": most + 1, "secure": most + 1, "benign": most}
    assert made(tmp_path, monkeypatch, most + 1) == rows
    (told,) = capsys.readouterr().err.splitlines()
    assert f"benign.jsonl has {most} rows" in told and f"have {most + 1};" in told
