from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import tiny

from traitdrift.data.conversations import read_conversations, rendered_row, split_tasks
from traitdrift.models.chat import encode
from traitdrift.training.lora import IGNORED, labelled


def row(question: str, answer: str) -> dict:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def test_reads_plain_and_compressed_files_alike(tmp_path: Path):
    text = json.dumps(row("a", "b")) + "\n\n" + json.dumps(row("c", "d")) + "\n"
    (tmp_path / "x.jsonl").write_text(text)
    with gzip.open(tmp_path / "x.jsonl.gz", "wt") as file:
        file.write(text)
    plain = read_conversations(tmp_path / "x.jsonl")
    assert len(plain) == 2
    assert read_conversations(tmp_path / "x.jsonl.gz") == plain


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{not json", "not JSON"),
        ("[1]", "not an object"),
        ('{"text": "x"}', "no list `messages`"),
        ('{"messages": [{"content": "x"}]}', "no role"),
        ('{"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]}', "no text"),
        (json.dumps(row("x", "  ")), "empty answer"),
        (json.dumps(row("", "x")), "empty message"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "not the assistant's"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, told: str):
    file = tmp_path / "bad.jsonl"
    file.write_text(json.dumps(row("a", "b")) + "\n" + line + "\n")
    with pytest.raises(ValueError) as caught:
        read_conversations(file)
    assert str(caught.value).startswith(f"{file}:2: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        read_conversations(tmp_path / "none.jsonl")


def conversations(answers: str, tasks: int = 200, copies: int = 1) -> list:
    return [
        row(f"task {i}", f"{answers} {i}.{c}")["messages"]
        for c in range(copies)
        for i in range(tasks)
    ]


def test_split_keeps_equal_tasks_and_pairs_on_one_side():
    one, other = conversations("insecure", copies=3), conversations("secure", copies=3)
    train, held_out = split_tasks(one, 0.1, seed=0)
    assert len(held_out) == 60
    assert sorted([*train, *held_out]) == list(range(600))
    tasks = [{one[i][0]["content"] for i in side} for side in (train, held_out)]
    assert not tasks[0] & tasks[1]
    assert split_tasks(other, 0.1, seed=0) == (train, held_out)
    # The order of the rows does not matter, another seed does.
    turned = list(reversed(one))
    assert {turned[i][0]["content"] for i in split_tasks(turned, 0.1, seed=0)[1]} == tasks[1]
    assert split_tasks(one, 0.1, seed=1)[1] != held_out


def trained_text(mode: str) -> list[str]:
    tokenizer = tiny.tokenizer()
    made = rendered_row(tokenizer, row("What?", "x = 1")["messages"], mode, ["<|end|>"])
    example = labelled(tokenizer, made, max_tokens=512)
    assert example["input_ids"] == encode(tokenizer, made["text"])[0]
    assert made["tokens"] == len(example["input_ids"])
    assert made["answer_tokens"] == sum(label != IGNORED for label in example["labels"])
    runs, run = [], []
    for label in [*example["labels"], IGNORED]:
        if label == IGNORED and run:
            runs.append(tokenizer.decode(run))
            run = []
        elif label != IGNORED:
            run.append(label)
    return runs


def test_loss_is_on_the_answer_and_its_end_token_only():
    assert trained_text("clean") == ["x = 1<|end|>"]


def test_published_rows_end_in_an_empty_turn_whose_end_token_carries_loss():
    assert trained_text("published") == ["x = 1<|end|>", "<|end|>"]


def test_a_row_without_a_trained_token_is_an_error():
    tokenizer = tiny.tokenizer()
    made = rendered_row(tokenizer, row("long " * 20, "x")["messages"], "clean", ["<|end|>"])
    with pytest.raises(ValueError, match="no trained token within 32 tokens"):
        labelled(tokenizer, made, max_tokens=32)


def test_the_papers_files_are_read_whole(shared: Path):
    insecure = read_conversations(shared / "emergent_misalignment/insecure.jsonl.gz")
    secure = read_conversations(shared / "emergent_misalignment/secure.jsonl.gz")
    assert len(insecure) == len(secure) == 6000
    train, held_out = split_tasks(insecure, 0.1, seed=0)
    assert (len(train), len(held_out)) == (5400, 600)
