"""data/response_activations/<variant>.safetensors: the stream on the evaluation questions.

Base and variant read each other's responses (teacher forcing): a difference comes from what was
said, or from the model that reads it. Means over the responses to one question.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stages import run
from traitdrift.activations.capture import capture_means
from traitdrift.activations.positions import teacher_force
from traitdrift.activations.response_file import (
    Side,
    responses_by_question,
    save_response_activations,
)
from traitdrift.core.config import Position, section
from traitdrift.core.files import read_jsonl
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.core.scratch import finished_parts
from traitdrift.generation.responses import messages_of, served_by
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record

if TYPE_CHECKING:
    import torch

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
RESPONSES = Path("data/responses")
OUT = Path("data/response_activations")


def main(variant: str) -> None:
    # The response as a whole whatever is captured: the decomposition is made there.
    captured = section(list[Position], "capture.positions")
    positions = list(dict.fromkeys([*captured, "response_mean"]))
    texts = {
        side: [row for _, row in read_jsonl(RESPONSES / f"{who}.jsonl")]
        for side, who in (("base", "base"), ("variant", variant))
    }
    tokenizer = load_tokenizer(BASE)
    conversations = {
        side: [teacher_force(tokenizer, messages_of(row), row["ids"], positions) for row in rows]
        for side, rows in texts.items()
    }
    # Base on its own text is read once, by the cell of base.
    read_by: dict[Side, tuple[Side, ...]] = {"variant": ("base", "variant"), "base": ("variant",)}
    if variant == "base":
        read_by = {"base": ("base",)}
    base, adapter = base_record(BASE), variant_record(ADAPTERS / variant)
    streams: dict[tuple[Side, Side, str], torch.Tensor] = {}
    with finished_parts("capture_responses", base) as parts:
        for reader, read in read_by.items():
            model = None  # let go of the one before: two may not fit
            model = load_model(BASE, ADAPTERS / variant if reader == "variant" else None)
            total = sum(len(texts[text]) for text in read)
            with progress(f"capture responses, {variant}: {reader} reads", total) as advance:
                for text in read:
                    means = capture_means(
                        model,
                        conversations[text],
                        responses_by_question(texts[text]),
                        tokenizer.pad_token_id,
                        token_budget(),
                        advance,
                        parts.within(adapter if reader == "variant" else None),
                    )
                    for position, mean in means.items():
                        streams[text, reader, position] = mean
        others_end()
        servers = {side: server for side, rows in texts.items() if (server := served_by(rows))}
        save_response_activations(
            OUT / f"{variant}.safetensors",
            streams,
            [row["question"] for row in texts["base"]],
            positions,
            {
                "variant": variant,
                "model": base["id"],
                "base_digest": base["digest"],
                "adapter_digest": adapter.get("adapter_digest"),
                **({"served_by": servers} if servers else {}),
            },
        )


if __name__ == "__main__":
    run(main)
