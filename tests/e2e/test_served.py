"""Answers from a real server on loopback that has base and a fine-tune under their names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import transformers_serve

VARIANTS = ("base", "insecure")
STAGES = [f"{name}@{v}" for name in ("respond_questions", "behaviour") for v in VARIANTS]
# The server takes whole models: the adapter goes into a copy of base.
MERGE = """
import sys
from pathlib import Path
from traitdrift.models.loading import load_model, load_tokenizer
base = Path("models/base")
load_model(base, Path("models/adapters/insecure")).merge_and_unload().save_pretrained(sys.argv[1])
load_tokenizer(base).save_pretrained(sys.argv[1])
"""


@pytest.fixture
def greedy(smoke) -> Iterator:
    """The smoke run, answering greedily; afterwards as it was."""
    before = smoke.text("params.yaml")
    smoke.params({"respond_questions.temperature": 0.0})
    yield smoke
    (smoke.path / "params.yaml").write_text(before)
    smoke.repro(*STAGES)


def rows(smoke, variant: str) -> list[dict]:
    return [json.loads(line) for line in smoke.text(f"data/responses/{variant}.jsonl").splitlines()]


def test_a_server_answers_for_base_and_a_fine_tune_by_their_names(greedy, tmp_path: Path):
    greedy.repro("--single-item", "respond_questions@base")
    own = rows(greedy, "base")
    (tmp_path / "base").symlink_to(greedy.path / "models/base")
    greedy.run("python", "-c", MERGE, str(tmp_path / "insecure"))
    with transformers_serve(tmp_path) as url:
        where = {"backend": "endpoint", "url": url, "concurrency": 1, "retries": 1}
        greedy.params({f"respond_questions.{key}": value for key, value in where.items()})
        assert {*greedy.repro(*STAGES, OPENAI_API_KEY="any")} == {*STAGES}
        made = {variant: rows(greedy, variant) for variant in VARIANTS}
        for variant in VARIANTS:
            server = made[variant][0]["served_by"]
            assert (server["url"], server["model"]) == (url, variant)
            measured = json.loads(greedy.text(f"metrics/behaviour/{variant}.json"))
            assert measured["served_by"] == server
            for row in made[variant]:
                assert {*row} - {*own[0]} == {"served_by"} and row["ids"]
        # Of bfloat16 in other batches most answers survive; an answer of another model would not.
        same = [o["answer"] == m["answer"] for o, m in zip(own, made["base"], strict=True)]
        assert sum(same) > len(same) / 2
    # The server is gone: what it said is enough.
    forced = greedy.repro("--force", "--single-item", "respond_questions@base", OPENAI_API_KEY="")
    assert forced == ["respond_questions@base"] and rows(greedy, "base") == made["base"]
