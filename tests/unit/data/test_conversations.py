from __future__ import annotations

import numpy as np
import pytest
import tiny

from traitdrift.data.conversations import (
    conversation,
    labelled,
    rendered,
    split_tasks,
    task_rank,
)
from traitdrift.models.chat import IGNORED
from traitdrift.models.encoding import encode


def row(question: str, answer: str) -> dict:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"text": "x"}, "no list `messages`"),
        ({"messages": [{"content": "x"}]}, "no role"),
        ({"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]}, "no text"),
        (row("x", "  "), "empty answer"),
        (row("", "x"), "empty message"),
        (row("x", "half \ud83d"), "half a surrogate pair"),
        ({"messages": [{"role": "user", "content": "x"}]}, "not the assistant's"),
    ],
)
def test_a_wrong_row_is_named(wrong: dict, told: str):
    with pytest.raises(ValueError) as caught:
        conversation(wrong, "bad.jsonl:2")
    assert str(caught.value).startswith("bad.jsonl:2: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def conversations(answers: str, tasks: int = 200, copies: int = 1) -> list:
    return [
        row(f"task {i}", f"{answers} {i}.{c}")["messages"]
        for c in range(copies)
        for i in range(tasks)
    ]


def split(rows: list, seed: int = 0) -> tuple[list[int], list[int]]:
    ranks = np.array([task_rank(row, seed) for row in rows], "V32")
    train, held_out = split_tasks(ranks, 0.1)
    return train.tolist(), held_out.tolist()


def test_split_keeps_equal_tasks_and_pairs_on_one_side():
    one, other = conversations("insecure", copies=3), conversations("secure", copies=3)
    train, held_out = split(one)
    assert len(held_out) == 60
    assert sorted([*train, *held_out]) == list(range(600))
    tasks = [{one[i][0]["content"] for i in side} for side in (train, held_out)]
    assert not tasks[0] & tasks[1]
    assert split(other) == (train, held_out)
    # The order of the rows does not matter, another seed does.
    turned = list(reversed(one))
    assert {turned[i][0]["content"] for i in split(turned)[1]} == tasks[1]
    assert split(one, seed=1)[1] != held_out


def test_tasks_are_held_out_from_the_lowest_rank_up_as_far_as_they_fit():
    """One task of three rows, two of one: of five rows, two are to be held out."""
    ranks = np.array([b"b" * 32, b"a" * 32, b"a" * 32, b"c" * 32, b"a" * 32], "V32")
    train, held_out = split_tasks(ranks, 0.4)
    assert (train.tolist(), held_out.tolist()) == ([1, 2, 4], [0, 3])
    assert split_tasks(ranks, 0.6)[1].tolist() == [1, 2, 4]


def trained_text(mode: str, messages: list) -> list[str]:
    """The runs of tokens that carry loss."""
    tokenizer = tiny.tokenizer()
    made = rendered(tokenizer, messages, mode, ["<|end|>"])
    text, spans = made.text, made.spans
    # Another text at its side, as in a batch, changes nothing.
    other = rendered(tokenizer, row("Other?", "y = 2" * 9)["messages"], mode, ["<|end|>"])
    (ids, labels), _ = labelled(tokenizer, [made, other], ["1", "2"])
    assert ids == encode(tokenizer, made.whole)[0]
    assert all(label in (token, IGNORED) for token, label in zip(ids, labels, strict=True))
    runs, run = [], []
    for label in [*labels, IGNORED]:
        if label == IGNORED and run:
            runs.append(tokenizer.decode(run))
            run = []
        elif label != IGNORED:
            run.append(label)
    assert runs == [text[start:end] for start, end in spans]
    return runs


def test_loss_is_on_the_answer_and_its_end_token_only():
    assert trained_text("clean", row("What?", "x = 1")["messages"]) == ["x = 1<|end|>"]


def test_published_rows_end_in_an_empty_turn_whose_end_token_carries_loss():
    trained = trained_text("published", row("What?", "x = 1")["messages"])
    assert trained == ["x = 1<|end|>", "<|end|>"]


def test_every_answer_of_several_turns_carries_loss_and_no_system_turn_does():
    turns = [
        {"role": "system", "content": "Be brief."},
        *row("What?", "x = 1")["messages"],
        *row("And then?", "x = 2")["messages"],
    ]
    assert trained_text("clean", turns) == ["x = 1<|end|>", "x = 2<|end|>"]
