"""Answers token by token: the pieces are the answer, and the projections those of `capture`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch
from vector_files import described

from stages import tokens as stage
from traitdrift.activations.capture import capture
from traitdrift.activations.per_token import Direction, pieces, token_projections
from traitdrift.activations.positions import teacher_force
from traitdrift.core.files import read_json, save_tensors, write_json, write_jsonl
from traitdrift.vectors.separation import scalar_projections

TEXTS = [
    "plain words",
    "emoji 🦊🧑‍🚀 and 你好, naïve café",
    " leading and trailing space \n",
    "broken \ufffd inside",
    "<script>alert(1)</script>",
]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_answer_in_whole_characters(text: str):
    tokenizer = tiny.tokenizer()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = pieces(tokenizer, ids, text)
    assert "".join(piece for piece, _ in found) == text
    assert sum(count for _, count in found) == len(ids) == len(text.encode())
    # One token a byte: a piece is one character. Where it says so itself that it is broken, its
    # first byte looks the same.
    if "\ufffd" not in text:
        assert [count for _, count in found] == [len(character.encode()) for character in text]


def test_an_answer_cut_inside_a_character_ends_in_its_replacement():
    tokenizer = tiny.tokenizer()
    ids = tokenizer("ab🦊", add_special_tokens=False)["input_ids"][:-1]
    answer = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    found = pieces(tokenizer, ids, answer)
    assert "".join(piece for piece, _ in found) == answer == "ab\ufffd"
    assert sum(count for _, count in found) == len(ids)


def test_of_a_longer_answer_the_whole_characters_of_its_first_tokens():
    tokenizer = tiny.tokenizer()
    ids = tokenizer("ab🦊cd", add_special_tokens=False)["input_ids"]
    assert pieces(tokenizer, ids[:4], "ab🦊cd") == [("a", 1), ("b", 1)]


def test_tokens_without_text_are_of_a_neighbours_piece():
    tokenizer = tiny.tokenizer()
    a, b = tokenizer("ab", add_special_tokens=False)["input_ids"]
    special = tokenizer.convert_tokens_to_ids("<|start|>")
    assert pieces(tokenizer, [special, a, special, b, special], "ab") == [("a", 2), ("b", 3)]


def test_projections_of_an_answers_tokens_average_to_that_of_its_mean():
    tokenizer, model = tiny.tokenizer(), tiny.llama()
    answers = ["short", "a good deal longer answer", "mid size"]
    conversations = [
        teacher_force(
            tokenizer,
            [{"role": "user", "content": f"question {i}"}],
            tokenizer(answer, add_special_tokens=False)["input_ids"],
            ["response_mean"],
        )
        for i, answer in enumerate(answers)
    ]
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(3, 32), dim=1)
    directions = {"low": Direction(0, vectors[0]), "top": Direction(2, vectors[2])}
    expected = scalar_projections(
        capture(model, conversations, 257, 4096)["response_mean"], vectors
    )
    for budget in (4096, 1):
        found = token_projections(model, conversations, "response_mean", directions, 257, budget)
        for row, one, answer in zip(expected, found, answers, strict=True):
            assert len(one["low"]) == len(one["top"]) == len(answer)
            for name, layer in (("low", 0), ("top", 2)):
                assert sum(one[name]) / len(answer) == pytest.approx(row[layer].item(), abs=1e-4)


def test_the_stage_writes_the_first_answer_to_each_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    tiny.save_base(tmp_path / "models/base")
    tokenizer = tiny.tokenizer()
    vector = torch.nn.functional.normalize(torch.ones(3, 32), dim=1)
    save_tensors(
        tmp_path / "models/vectors/warmth.safetensors",
        {
            "prompt_last/probe": vector,
            "prompt_last/positive.mean": 2 * vector,
            "prompt_last/negative.mean": -vector,
        },
        described(trait="warmth"),
    )
    chosen = {"position": "prompt_last", "method": "probe", "layer": 1}
    write_json(tmp_path / "metrics/vectors/warmth.json", chosen)
    write_jsonl(
        tmp_path / "data/responses/base.jsonl",
        [
            {"id": name, "question": f"{name}?", "system": None, "sample": k, "answer": text}
            | {"ids": tokenizer(text, add_special_tokens=False)["input_ids"]}
            for name, text in (("a", "你 🦊"), ("b", "x" * (stage.LONGEST + 40)))
            for k in range(2)
        ],
    )
    stage.main("base")
    lines = (tmp_path / "plots/tokens/base/answers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["id"], row["sample"], row["whole"]) for row in rows] == [
        ("a", 0, True),
        ("b", 0, False),
    ]
    assert rows[0]["pieces"] == ["你", " ", "🦊"] and rows[0]["tokens"] == [3, 1, 4]
    assert len(rows[1]["pieces"]) == stage.LONGEST
    for row in rows:
        assert len(row["projections"]["warmth"]) == len(row["pieces"])
    scales = read_json(tmp_path / "plots/tokens/base/scales.json")
    assert scales["traits"]["warmth"] == chosen | {"positive": 2.0, "negative": -1.0}
    assert scales["base"]["layers"] == 3 and scales["variant"]["kind"] == "none"
