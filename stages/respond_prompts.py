"""data/prompt_responses.jsonl: base's greedy responses to the trait prompts that bring none along.

Made once and read by every variant (teacher forcing), so that `response_*` activations differ
by the model that reads, not by what was said.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.core.scratch import finished_parts
from traitdrift.data.prompt_set import read_prompt_sets
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.generation.settings import RespondPrompts
from traitdrift.inference.batching import token_budget
from traitdrift.models.chat import prompt_ids
from traitdrift.models.loading import base_record, load_model, load_tokenizer

BASE = Path("models/base")
PROMPTS = Path("data/prompts")
OUT = Path("data/prompt_responses.jsonl")


def main() -> None:
    settings = section(RespondPrompts, "respond_prompts")
    sets = read_prompt_sets(PROMPTS).values()
    rows = [row for prompts in sets if not prompts.given for row in prompts.rows]
    tokenizer = load_tokenizer(BASE)
    requests = [
        SamplingRequest(
            prompt_ids(tokenizer, [{"role": "user", "content": row["prompt"]}])[0],
            prompt=row["prompt"],
            source=row["trait"],
        )
        for row in rows
    ]
    model = load_model(BASE)
    with (
        finished_parts("respond_prompts", base_record(BASE)) as parts,
        progress("respond to prompts, base", len(requests)) as advance,
    ):
        responses = generate(
            model,
            requests,
            settings.max_tokens,
            tokenizer.pad_token_id,
            token_budget(),
            advance,
            parts,
        )
        others_end()
        write_jsonl(
            OUT,
            (
                {
                    "trait": row["trait"],
                    "prompt": row["prompt"],
                    "answer": tokenizer.decode(ids, clean_up_tokenization_spaces=False),
                    "ids": ids,
                }
                for row, ids in zip(rows, responses, strict=True)
            ),
        )


if __name__ == "__main__":
    run(main)
