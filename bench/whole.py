"""The whole default run beside the passes that it cannot do without, at the measured bare speed.

Needs a finished run, whose outputs say how many tokens each pass had; runs all of it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import torch
from transformers import PreTrainedModel

from bench.sides import Answer, keep
from traitdrift.core.config import section
from traitdrift.core.files import read_jsonl
from traitdrift.models.chat import prompt_ids
from traitdrift.models.loading import load_model, load_tokenizer
from traitdrift.training.backends import by_peft
from traitdrift.training.settings import Recipe

BASE = Path("models/base")
WIDE, TOKENS, STEPS = 96, 64, 16


def main() -> None:
    tokenizer = load_tokenizer(BASE)
    counts = tokens_of_a_run(tokenizer)
    speeds = bare_speeds(load_model(BASE))
    needed = sum(counts[kind] / speeds[kind] for kind in speeds)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--force", "--no-run-cache"],
        check=True,
        env={**os.environ, "TRAITDRIFT_KEEP_GB": "0"},
    )
    taken = time.perf_counter() - began
    told = ", ".join(f"{counts[k]:,} tokens of {k} at {speeds[k]:,.0f} a second" for k in speeds)
    keep(Answer("the whole default run", "its passes alone", taken, needed, 1 / 1.6, told))


def tokens_of_a_run(tokenizer: Any) -> dict[str, int]:
    """How many tokens are read, written and trained on, padding and repetition not counted."""

    def asked(row: dict[str, Any]) -> int:
        system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
        text = row.get("question") or row["prompt"]
        return len(prompt_ids(tokenizer, [*system, {"role": "user", "content": text}])[0])

    def ids(row: dict[str, Any]) -> int:
        return len(row["ids"] if "ids" in row else tokenizer(row["answer"])["input_ids"])

    def rows(pattern: str) -> Iterator[dict[str, Any]]:
        for path in sorted(Path("data").glob(pattern)):
            for _, row in read_jsonl(path):
                yield row

    variants = len(list(Path("data/responses").glob("*.jsonl")))
    prompts = [(asked(row), ids(row)) for row in rows("prompt_responses.jsonl")]
    answers = [(asked(row), ids(row)) for row in rows("responses/*.jsonl")]
    steered = [(asked(row), ids(row)) for row in rows("steered/*/responses.jsonl")]
    recipe = section(Recipe, f"recipes.{section(str, 'recipe')}")
    trained = 0
    for path in sorted(Path("data/finetune").glob("*/train.parquet")):
        lengths = pandas.read_parquet(path, columns=["input_ids"])["input_ids"].str.len()
        rows_of_run = (recipe.max_steps or 0) * recipe.batch_size * recipe.gradient_accumulation
        trained += round(lengths.clip(upper=recipe.max_tokens).mean() * rows_of_run)
    read = [prompts, answers, steered]
    return {
        "reading": sum(asked for many in read for asked, _ in many)
        + variants * sum(map(sum, prompts))
        # A variant's answers are read by itself and by base, base's by each.
        + 2 * sum(map(sum, answers)),
        "writing": sum(written for many in read for _, written in many),
        "training": trained,
    }


def bare_speeds(model: PreTrainedModel) -> dict[str, float]:
    """Tokens a second of the network alone, nothing padded, sampled or kept."""
    ids = torch.randint(100, 1000, (WIDE, TOKENS), generator=torch.Generator().manual_seed(0))

    def reading() -> int:
        with torch.inference_mode():
            model.base_model(input_ids=ids, use_cache=False)
        return ids.numel()

    def writing() -> int:
        with torch.inference_mode():
            cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            for _ in range(STEPS):
                model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True)
        return WIDE * STEPS

    recipe = section(Recipe, f"recipes.{section(str, 'recipe')}")
    adapted = by_peft(load_model(BASE), recipe)

    def training() -> int:
        few = ids[:8]
        adapted(input_ids=few, labels=few).loss.backward()
        return few.numel()

    return {work.__name__: speed(work) for work in (reading, writing, training)}


def speed(work: Any) -> float:
    """The best of three, once all is prepared."""
    work()
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        tokens = work()
        best = max(best, tokens / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    main()
