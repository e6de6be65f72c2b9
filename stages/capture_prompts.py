"""data/activations/<variant>/<trait>.safetensors: the residual stream on every trait prompt."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.activations.capture import capture
from traitdrift.activations.prompt_conversations import answers_to, conversations
from traitdrift.activations.prompt_file import save_prompt_activations
from traitdrift.core.config import Position, section
from traitdrift.core.files import read_jsonl
from traitdrift.core.progress import progress
from traitdrift.core.ranks import is_main
from traitdrift.core.scratch import finished_parts
from traitdrift.data.prompt_set import read_prompt_sets
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
PROMPTS = Path("data/prompts")
RESPONSES = Path("data/prompt_responses.jsonl")
OUT = Path("data/activations")


def main(variant: str) -> None:
    positions = section(list[Position], "capture.positions")
    responses = [row for _, row in read_jsonl(RESPONSES)]
    tokenizer = load_tokenizer(BASE)
    sets = read_prompt_sets(PROMPTS)
    answers = {trait: answers_to(prompts.rows, responses) for trait, prompts in sets.items()}
    read = {
        trait: conversations(tokenizer, prompts.rows, answers[trait], positions)
        for trait, prompts in sets.items()
    }
    base, adapter = base_record(BASE), variant_record(ADAPTERS / variant)
    model = load_model(BASE, ADAPTERS / variant)
    total = sum(map(len, answers.values()))
    with (
        finished_parts("capture_prompts", base, adapter) as parts,
        progress(f"capture prompts, {variant}", total) as advance,
    ):
        for trait, prompts in sets.items():
            streams = capture(
                model,
                read[trait],
                tokenizer.pad_token_id,
                token_budget(),
                advance,
                parts,
            )
            if is_main():
                save_prompt_activations(
                    OUT / variant / f"{trait}.safetensors",
                    streams,
                    [row["prompt"] for row in prompts.rows],
                    answers[trait],
                    prompts.given,
                    {
                        "variant": variant,
                        "model": base["id"],
                        "base_digest": base["digest"],
                        "adapter_digest": adapter.get("adapter_digest"),
                    },
                )


if __name__ == "__main__":
    run(main)
