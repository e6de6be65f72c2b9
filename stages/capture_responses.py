"""data/response_activations/<variant>.safetensors: the residual stream on the evaluation questions.

Base and variant read each other's answers (teacher forcing): a difference comes from what was
said, or from the model that reads it. Means over the answers to one question.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.activations.capture import by_question, capture
from traitdrift.activations.positions import teacher_force
from traitdrift.core.config import Position, section
from traitdrift.core.files import read_jsonl, save_tensors, text_digest
from traitdrift.core.progress import progress
from traitdrift.generation.responses import messages_of
from traitdrift.inference.batching import token_budget
from traitdrift.inference.hooks import HOOK_POINT
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
RESPONSES = Path("data/responses")
OUT = Path("data/response_activations")


def main(variant: str) -> None:
    # The answer as a whole whatever is captured: text or model is asked there.
    positions = list(
        dict.fromkeys([*section(list[Position], "capture.positions"), "response_mean"])
    )
    answers = {
        side: [row for _, row in read_jsonl(RESPONSES / f"{who}.jsonl")]
        for side, who in (("base", "base"), ("variant", variant))
    }
    tokenizer = load_tokenizer(BASE)
    conversations = {
        side: [teacher_force(tokenizer, messages_of(row), row["ids"], positions) for row in rows]
        for side, rows in answers.items()
    }
    # Base on its own text is read once, by the cell of base.
    passes = {"variant": ("base", "variant"), "base": ("variant",)}
    if variant == "base":
        passes = {"base": ("base",)}
    tensors = {}
    for reader, texts in passes.items():
        model = None  # let go of the one before: two may not fit
        model = load_model(BASE, ADAPTERS / variant if reader == "variant" else None)
        total = sum(len(conversations[text]) for text in texts)
        with progress(f"capture responses, {variant}: {reader} reads", total) as advance:
            for text in texts:
                streams = capture(
                    model, conversations[text], tokenizer.pad_token_id, token_budget(), advance
                )
                for position, values in streams.items():
                    tensors[f"{text}_text/{reader}_model/{position}"] = by_question(
                        values.float(), answers[text]
                    )
    record = base_record(BASE)
    save_tensors(
        OUT / f"{variant}.safetensors",
        tensors,
        {
            "kind": "response_activations",
            "shape": ["question", "layer", "hidden"],
            "questions": text_digest(row["question"] for row in answers["base"]),
            "positions": positions,
            "hook_point": HOOK_POINT,
            "layer_origin": 0,
            "dtype": "float32",
            "variant": variant,
            "model": record["id"],
            "base_digest": record["digest"],
            "adapter_digest": variant_record(ADAPTERS / variant).get("adapter_digest"),
        },
    )


if __name__ == "__main__":
    run(main)
