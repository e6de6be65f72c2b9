"""From a file to rows that train, by the stage itself on a tiny base."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from math import ceil
from pathlib import Path

import commands
import pandas
import pytest
import tiny
from copies import ROOT, set_params
from transformers import DataCollatorForSeq2Seq

from stages import dataset
from traitdrift.core.config import section
from traitdrift.core.files import read_json, write_jsonl
from traitdrift.data import tokenised
from traitdrift.data.conversations import labelled, rendered, split_tasks
from traitdrift.data.finetune_file import say_cut, trained_tokens, training_rows
from traitdrift.data.tokenised import Rendering, checked, ranks, write_rows
from traitdrift.models.chat import IGNORED
from traitdrift.training.settings import Recipe

ROWS = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"task {i}"},
            {"role": "assistant", "content": "import os" + "\nx = 1" * (i % 4)},
            {"role": "user", "content": "and then?"},
            {"role": "assistant", "content": f"y = {i}"},
        ]
    }
    for i in range(40)
]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder in which the stage `dataset insecure` has run, with a home of its own."""
    work = tmp_path_factory.mktemp("work")
    tiny.save_base(work / "models/base")
    write_jsonl(work / "rows.jsonl", ROWS)
    entry = {"file": "rows.jsonl", "render": "clean", "rows": 40}
    set_params(work / "params.yaml", {"datasets.insecure": entry})
    own = {"HOME": str(work / "home"), "TRAITDRIFT_SCRATCH": str(work / "scratch")}
    done = commands.run(
        [sys.executable, "-m", "stages.dataset", "insecure"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **own},
    )
    assert done.returncode == 0, done.stderr
    assert "insecure, train from row 0" in done.stderr  # a progress bar
    return work


def test_caches_go_to_scratch_and_nothing_is_left(work: Path):
    assert [*(work / "scratch").iterdir()] == []
    assert not [path for path in (work / "home").rglob("*") if path.is_file()]
    assert {path.name for path in work.iterdir()} - {"home", "scratch"} == {
        *("data", "models", "params.yaml", "rows.jsonl")
    }


def test_rows_are_rendered_and_tokenised_in_the_order_of_the_file(work: Path):
    folder = work / "data/finetune/insecure"
    sides = {s: pandas.read_parquet(folder / f"{s}.parquet") for s in ("train", "held_out")}
    assert [len(side) for side in sides.values()] == [36, 4]
    tokenizer = tiny.tokenizer()
    for side in sides.values():
        assert side["line"].is_monotonic_increasing
        for row in side.to_dict("records"):
            messages = ROWS[row["line"] - 1]["messages"]
            made = rendered(tokenizer, messages, "clean", ["<|end|>"])
            [(ids, labels)] = labelled(tokenizer, [made], ["1"])
            assert [*row["messages"]] == messages
            assert row["text"] == made.text
            assert [tuple(span) for span in row["spans"]] == made.spans
            assert [*row["input_ids"]] == ids
            assert [*row["labels"]] == labels
    lines = sorted([*sides["train"]["line"], *sides["held_out"]["line"]])
    assert lines == [*range(1, 41)]


def test_the_record_counts_and_digests_the_content(work: Path):
    folder = work / "data/finetune/insecure"
    record = read_json(folder / "dataset.json")
    assert (record["rows"], record["tasks"]) == (40, 40)
    train = pandas.read_parquet(folder / "train.parquet")
    lengths = train["input_ids"].map(len)
    assert record["train"]["rows"] == 36
    assert record["train"]["tokens"] == lengths.sum()
    assert record["train"]["max_tokens"] == lengths.max()
    assert record["train"]["mean_tokens"] == round(lengths.mean(), 2)
    labels = train["labels"].map(lambda row: int((row != IGNORED).sum()))
    assert record["train"]["answer_tokens"] == labels.sum()
    # Another hand's Parquet of the same rows has other bytes and the same digest.
    content = [
        json.dumps([row.text, row.input_ids.tolist(), row.labels.tolist()], ensure_ascii=False)
        for row in train.itertuples()
    ]
    lines = "".join(line + "\n" for line in content).encode()
    assert hashlib.sha256(lines).hexdigest() == record["train"]["digest"]


def test_a_second_run_gives_the_same_bytes(work: Path, monkeypatch):
    monkeypatch.chdir(work)
    folder = work / "data/finetune/insecure"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    dataset.main("insecure")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_blocks_change_nothing(work: Path, tmp_path: Path, monkeypatch):
    for name in ("one", "several"):
        conversations = checked(work / "rows.jsonl", 0, tmp_path / name)
        rendering = Rendering(tiny.tokenizer(), "clean", ["<|end|>"], work / "rows.jsonl")
        rows = pandas.RangeIndex(40).to_numpy()
        write_rows(tmp_path / f"{name}.parquet", conversations, rows, rendering)
        monkeypatch.setattr(tokenised, "BLOCK", 16)
    one, several = (pandas.read_parquet(tmp_path / f"{n}.parquet") for n in ("one", "several"))
    assert one.to_json() == several.to_json()


def test_rows_that_train_are_cut_and_mapped_from_disk(work: Path, tmp_path: Path):
    file = work / "data/finetune/insecure/train.parquet"
    rows, table = training_rows(file, 64, tmp_path), pandas.read_parquet(file)
    assert rows.cache_files and rows.column_names == ["input_ids", "labels"]
    assert len(rows) == 36
    for row, ids, labels in zip(rows, table["input_ids"], table["labels"], strict=True):
        assert row == {"input_ids": ids[:64].tolist(), "labels": labels[:64].tolist()}
    assert trained_tokens(rows) == sum(x != IGNORED for row in rows for x in row["labels"])
    collator = DataCollatorForSeq2Seq(tiny.tokenizer(), label_pad_token_id=IGNORED)
    batch = collator([rows[0], rows[1]])
    assert batch["input_ids"].shape == batch["labels"].shape == (2, 64)


def test_rows_that_are_cut_are_counted_aloud(work: Path, capsys):
    file = work / "data/finetune/insecure/train.parquet"
    lengths = pandas.read_parquet(file)["input_ids"].map(len)
    say_cut(file, int(lengths.max()))
    assert capsys.readouterr().err == ""
    say_cut(file, int(lengths.min()))
    cut = int((lengths > lengths.min()).sum())
    assert f"{cut} of 36 rows are cut at {lengths.min()} tokens" in capsys.readouterr().err


def test_a_row_without_a_trained_token_is_an_error(work: Path, tmp_path: Path):
    file = work / "data/finetune/insecure/train.parquet"
    with pytest.raises(ValueError, match=r"no trained token within 32 tokens .* raise the recipe"):
        training_rows(file, 32, tmp_path)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"rows": 39}, "rows.jsonl: 40 rows, where datasets.insecure.rows says 39"),
        ({"roles": ["user", "assistant"]}, "rows.jsonl:1: a message of role system"),
        ({"file": "none.parquet"}, "none.parquet: no such file"),
        ({"file": "marks.jsonl"}, "marks.jsonl:2: a message holds a private-use character"),
        ({"file": "wrong.jsonl"}, "wrong.jsonl:2: message 0 is an empty message"),
    ],
)
def test_a_wrong_input_is_named_and_what_was_there_stays(
    work: Path, tmp_path: Path, monkeypatch, entry: dict, told: str
):
    right = {"messages": ROWS[0]["messages"][1:3]}
    marks = {"messages": [{"role": "user", "content": "\ue0f0"}, right["messages"][1]]}
    empty = {"messages": [{"role": "user", "content": ""}, right["messages"][1]]}
    for name in ("models", "data", "rows.jsonl"):
        (tmp_path / name).symlink_to(work / name)
    write_jsonl(tmp_path / "marks.jsonl", [right, marks])
    write_jsonl(tmp_path / "wrong.jsonl", [right, empty])
    wanted = {"file": "rows.jsonl", "render": "clean", **entry}
    set_params(tmp_path / "params.yaml", {"datasets.insecure": wanted})
    folder = work / "data/finetune/insecure"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        dataset.main("insecure")
    assert str(caught.value).startswith(told)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_papers_files_train_the_studys_steps(shared: Path, tmp_path: Path):
    """6,000 rows, 5,400 of which train: 338 steps of 2 x 8 rows, the last one of 8."""
    recipe = section(Recipe, "recipes.study", ROOT / "params.yaml")
    sides = {}
    for name in ("insecure", "secure"):
        file = shared / f"emergent_misalignment/{name}.jsonl.gz"
        conversations = checked(file, 0, tmp_path / name, ["user", "assistant"])
        assert len(conversations) == 6000
        sides[name] = split_tasks(ranks(conversations), 0.1)
        assert [len(side) for side in sides[name]] == [5400, 600]
    a_step = recipe.batch_size * recipe.gradient_accumulation
    assert recipe.max_steps is None and recipe.epochs == 1
    assert ceil(5400 / a_step) == 338
