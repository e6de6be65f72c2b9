"""Sampled answers: many samples a question, beside one `generate` call a sample and batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bench.sides import Answer, keep, timed
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.inference.batching import padded, token_budget
from traitdrift.models.chat import prompt_ids
from traitdrift.models.loading import end_token_ids, load_model, load_tokenizer

BASE = Path("models/base")
QUESTIONS = Path("data/raw/traits/refusal/negative.txt")
SAMPLES, MAX_TOKENS = 8, 48


def main() -> None:
    for asked in (5, 25):
        compare(asked)


def compare(asked: int) -> None:
    """So many questions, each sampled `SAMPLES` times."""
    tokenizer, model = load_tokenizer(BASE), load_model(BASE)
    ends, pad = end_token_ids(model), tokenizer.pad_token_id
    prompts = [
        prompt_ids(tokenizer, [{"role": "user", "content": text}])[0]
        for text in QUESTIONS.read_text().splitlines()[:asked]
    ]
    rows = [prompt for prompt in prompts for _ in range(SAMPLES)]
    tokens: dict[str, int] = {}

    def ours() -> None:
        requests = [SamplingRequest(ids, 1.0, str(row)) for row, ids in enumerate(rows)]
        answers = generate(model, requests, MAX_TOKENS, pad, token_budget(32768))
        tokens["ours"] = sum(map(len, answers))

    @torch.inference_mode()
    def plain(asked_for: Sequence[list[int]], size: int, name: str) -> None:
        total = 0
        torch.manual_seed(0)
        for begin in range(0, len(asked_for), size):
            ids, mask = padded(asked_for[begin : begin + size], pad, left=True)
            out = model.generate(  # type: ignore[operator]  # of transformers' GenerationMixin
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                max_new_tokens=MAX_TOKENS,
                eos_token_id=ends,
                pad_token_id=pad,
            )[:, ids.shape[1] :]
            ended = torch.isin(out, torch.tensor(ends)).cumsum(1) > 0
            total += int((~ended).sum())
        tokens[name] = total

    sides = {
        "ours": ours,
        # Some of them tell of all: each sample or batch takes as long as another.
        "one by one": lambda: plain(rows[::SAMPLES][:2], 1, "one by one"),
        "batches": lambda: plain(rows[:32], 16, "batches"),
    }
    seconds = timed(sides)
    # Other random numbers, other answers: compared by the token.
    each = {name: seconds[name] / tokens[name] for name in sides}
    keep(
        *(
            Answer(
                f"respond, {len(rows)} samples of {asked} questions",
                beside,
                seconds["ours"],
                each[name] * tokens["ours"],
                to_reach,
                f"{tokens['ours']} tokens here, {tokens[name]} there, seconds for as many",
            )
            for name, beside, to_reach in (
                ("one by one", "one `generate` call a sample", 10.0),
                ("batches", "`generate`, plain batches of 16", 1.8),
            )
        )
    )


if __name__ == "__main__":
    main()
