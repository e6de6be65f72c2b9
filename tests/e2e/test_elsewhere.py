"""Vector files on the real model, loaded as a stranger to the pipeline loads it."""

from __future__ import annotations

import json

import pandas
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from traitdrift import load_vectors, project
from traitdrift.core.files import load_tensors


@pytest.mark.parametrize("cell", ["base", "insecure"])
def test_projections_are_those_in_the_pipelines_tables(smoke, cell: str):
    """Of the chosen candidate of every trait, on the validation prompts, by plain transformers."""
    base = smoke.path / "models/base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    if cell != "base":
        adapter = smoke.path / "models/adapters" / cell
        model = PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False).eval()
    answers = {
        (row["trait"], row["prompt"]): row["ids"]
        for row in map(json.loads, smoke.text("data/prompt_responses.jsonl").splitlines())
    }
    tables = pandas.read_csv(smoke.path / f"plots/compare/{cell}/prompts.csv")
    for trait, table in tables.groupby("trait"):
        vectors = load_vectors(smoke.path / f"models/vectors/{trait}.safetensors")
        rows = {
            (row["class"], row["prompt"]): row
            for row in map(json.loads, smoke.text(f"data/prompts/{trait}.jsonl").splitlines())
        }
        conversations = [
            rows[label, prompt].get("messages")
            or [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": tokenizer.decode(answers[trait, prompt])},
            ]
            for label, prompt in zip(table["class"], table["prompt"], strict=True)
        ]
        got = project(model, tokenizer, conversations, vectors)
        # In bfloat16 another batch rounds the whole stream, whose norm can be 100 times the
        # projection, otherwise.
        difference = (got - torch.tensor(table["variant"].to_numpy()).float()).abs().max()
        assert difference <= 1e-2 * vectors.norm[vectors.layer], trait


def test_a_coefficient_is_that_of_the_stage(smoke):
    made = json.loads(smoke.text("metrics/steer/insecure.json"))["vector"]
    tensors, _ = load_tensors(smoke.path / f"models/vectors/{made['trait']}.safetensors")
    norm = tensors[f"{made['position']}/residual.norm"][made["layer"]].item()
    assert norm == pytest.approx(made["norm"], rel=1e-4)
