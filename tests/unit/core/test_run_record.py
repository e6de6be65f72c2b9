"""A stage that DVC ran notes where, if it succeeded; nothing else does, and nothing fails by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages import run
from traitdrift.core.run_record import record_of
from traitdrift.core.surroundings import surroundings


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stages.compare", "insecure"])
    monkeypatch.setenv("DVC_STAGE", "compare@insecure")
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


def recipe(cell: str) -> None:
    if cell == "broken":
        raise ValueError("no such luck")


def test_a_stage_notes_where_it_ran(repository: Path):
    run(recipe)
    noted = json.loads((repository / ".dvc/tmp/runs/compare@insecure.json").read_text())
    assert noted == surroundings() and noted["threads"] >= 1


def test_a_stage_that_fails_notes_nothing(repository: Path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["stages.compare", "broken"])
    with pytest.raises(SystemExit):
        run(recipe)
    assert not (repository / ".dvc/tmp/runs").exists()


def test_without_dvc_nothing_is_noted(repository: Path, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    run(recipe)
    monkeypatch.setenv("DVC_STAGE", "compare@insecure")
    (repository / ".dvc/tmp").rmdir()
    run(recipe)
    assert not list(repository.rglob("*.json"))


def test_a_note_that_cannot_be_written_is_no_fault(repository: Path):
    (repository / ".dvc/tmp/runs").write_text("in the way")
    run(recipe)


def test_the_second_process_of_several_notes_nothing(repository: Path, monkeypatch):
    monkeypatch.setattr("traitdrift.core.run_record.is_main", lambda: False)
    run(recipe)
    assert not (repository / ".dvc/tmp/runs").exists()


@pytest.mark.parametrize("stage", ["../../x", "sub/dvc.yaml:compare@a", "pair@one-other"])
def test_a_record_stays_in_its_folder(stage: str):
    assert record_of(stage).parent == Path(".dvc/tmp/runs")
