"""One trait more beside twenty: how many of its prompts are forwarded, and how long that takes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.sides import Answer, keep
from traitdrift.activations.capture import capture
from traitdrift.activations.positions import TokenizedConversation, teacher_force
from traitdrift.core.scratch import KEEP, SCRATCH, finished_parts
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import load_model, load_tokenizer

BASE = Path("models/base")
TRAITS, PROMPTS = 20, 100


def main() -> None:
    tokenizer, model = load_tokenizer(BASE), load_model(BASE)
    forwarded: list[int] = []

    def count(_decoder: Any, _inputs: Any, options: dict[str, Any]) -> None:
        forwarded.append(len(options["input_ids"]))

    model.model.register_forward_pre_hook(count, with_kwargs=True)

    def prompts(trait: int) -> list[TokenizedConversation]:
        return [
            teacher_force(
                tokenizer,
                [{"role": "user", "content": f"Question {i} of trait {trait}: why so?"}],
                [],
                ["prompt_last"],
            )
            for i in range(PROMPTS)
        ]

    def run(traits: int) -> float:
        """A capture of so many traits, as the stage does it; its seconds."""
        forwarded.clear()
        began = time.perf_counter()
        with finished_parts("bench") as parts:
            for trait in range(traits):
                capture(model, prompts(trait), tokenizer.pad_token_id, token_budget(), parts=parts)
        return time.perf_counter() - began

    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update({SCRATCH: scratch, KEEP: "5"})
        run(TRAITS)
        change = run(TRAITS + 1)
        rows = sum(forwarded)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[SCRATCH] = scratch
        anew = run(TRAITS + 1)
        all_rows = sum(forwarded)
    keep(
        Answer(
            f"a change: a trait more beside {TRAITS}, {PROMPTS} prompts each",
            "the capture of all of them",
            change,
            anew,
            (TRAITS + 1) / 2,
            f"{rows} rows forwarded, {all_rows} where nothing is kept; a row a batch is the prefix",
        )
    )


if __name__ == "__main__":
    main()
