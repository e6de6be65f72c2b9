"""data/activations/<variant>/<trait>.safetensors: the residual stream on every prompt."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.activations.capture import capture
from traitdrift.activations.positions import teacher_force, tokenize_conversation
from traitdrift.core.config import Position, section
from traitdrift.core.files import read_jsonl, save_tensors, text_digest
from traitdrift.core.progress import progress
from traitdrift.inference.batching import token_budget
from traitdrift.inference.hooks import HOOK_POINT
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
PROMPTS = Path("data/prompts")
ANSWERS = Path("data/prompt_responses.jsonl")
OUT = Path("data/activations")


def main(variant: str) -> None:
    positions = section(list[Position], "capture.positions")
    answers = {(row["trait"], row["prompt"]): row["ids"] for _, row in read_jsonl(ANSWERS)}
    tokenizer = load_tokenizer(BASE)
    sets = {
        path.stem: [
            (row, row.get("messages") or answers[row["trait"], row["prompt"]])
            for _, row in read_jsonl(path)
        ]
        for path in sorted(PROMPTS.glob("*.jsonl"))
    }
    conversations = {
        name: [
            tokenize_conversation(tokenizer, said)
            if "messages" in row
            else teacher_force(
                tokenizer, [{"role": "user", "content": row["prompt"]}], said, positions
            )
            for row, said in rows
        ]
        for name, rows in sets.items()
    }
    base, made = base_record(BASE), variant_record(ADAPTERS / variant)
    model = load_model(BASE, ADAPTERS / variant)
    with progress(f"capture prompts, {variant}", sum(map(len, conversations.values()))) as advance:
        for name, rows in sets.items():
            tensors = capture(
                model, conversations[name], tokenizer.pad_token_id, token_budget(), advance
            )
            save_tensors(
                OUT / variant / f"{name}.safetensors",
                tensors,
                {
                    "kind": "activations",
                    "shape": ["prompt", "layer", "hidden"],
                    "set": name,
                    "set_digest": text_digest(row["prompt"] for row, _ in rows),
                    "answers_digest": text_digest(str(said) for _, said in rows),
                    "answers": "given" if "messages" in rows[0][0] else "greedy, of base",
                    "positions": list(tensors),
                    "hook_point": HOOK_POINT,
                    "layer_origin": 0,
                    "dtype": {position: str(t.dtype)[6:] for position, t in tensors.items()},
                    "variant": variant,
                    "model": base["id"],
                    "base_digest": base["digest"],
                    "adapter_digest": made.get("adapter_digest"),
                },
            )


if __name__ == "__main__":
    run(main)
