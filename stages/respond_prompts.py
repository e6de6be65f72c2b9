"""data/prompt_responses.jsonl: base's greedy answers to the trait prompts that bring none along.

Made once and read by every variant (teacher forcing), so that `response_*` activations differ
by the model that reads, not by what was said.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import Count, section
from traitdrift.core.files import read_jsonl, write_jsonl
from traitdrift.core.progress import progress
from traitdrift.generation.sampling import SamplingRequest, generate
from traitdrift.inference.batching import token_budget
from traitdrift.models.chat import prompt_ids
from traitdrift.models.loading import load_model, load_tokenizer

BASE = Path("models/base")
PROMPTS = Path("data/prompts")
OUT = Path("data/prompt_responses.jsonl")


def main() -> None:
    longest = section(Count, "respond_prompts.max_tokens")
    rows = [
        row
        for path in sorted(PROMPTS.glob("*.jsonl"))
        for _, row in read_jsonl(path)
        if "messages" not in row
    ]
    tokenizer = load_tokenizer(BASE)
    requests = [
        SamplingRequest(prompt_ids(tokenizer, [{"role": "user", "content": row["prompt"]}])[0])
        for row in rows
    ]
    with progress("base answers", len(requests)) as advance:
        answers = generate(
            load_model(BASE),
            requests,
            longest,
            tokenizer.pad_token_id,
            token_budget(),
            advance,
        )
    write_jsonl(
        OUT,
        (
            {
                "trait": row["trait"],
                "prompt": row["prompt"],
                "answer": tokenizer.decode(answer, clean_up_tokenization_spaces=False),
                "ids": answer,
            }
            for row, answer in zip(rows, answers, strict=True)
        ),
    )


if __name__ == "__main__":
    run(main)
