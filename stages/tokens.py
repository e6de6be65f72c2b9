"""plots/tokens/<variant>/: one answer to each question, token by token along the trait vectors.

The variant reads its own answer (teacher forcing); the chosen vector of each trait is asked at
every token, whatever position it was made at. Base's class means are the scale to read it by.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.activations.per_token import Direction, means, pieces, token_projections
from traitdrift.activations.positions import teacher_force
from traitdrift.core.config import CLASSES
from traitdrift.core.files import (
    load_tensors,
    read_json,
    read_jsonl,
    rounded,
    write_json,
    write_jsonl,
)
from traitdrift.core.progress import progress
from traitdrift.generation.responses import messages_of
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
RESPONSES = Path("data/responses")
VECTORS = Path("models/vectors")
CHOICES = Path("metrics/vectors")
OUT = Path("plots/tokens")
LONGEST = 160  # tokens of an answer: enough to read, few enough for git


def main(variant: str) -> None:
    directions, scales = {}, {}
    for path in sorted(CHOICES.glob("*.json")):
        choice = read_json(path)
        layer, position = choice["layer"], choice["position"]
        vectors, _ = load_tensors(VECTORS / f"{path.stem}.safetensors")
        vector = vectors[f"{position}/{choice['method']}"][layer]
        directions[path.stem] = Direction(layer, vector)
        scales[path.stem] = {
            **{key: choice[key] for key in ("position", "method", "layer")},
            **{
                label: rounded(
                    (vectors[f"{position}/{label}.mean"][layer].double() @ vector.double()).item()
                )
                for label in CLASSES
            },
        }
    first: dict[str, dict] = {}
    for _, row in read_jsonl(RESPONSES / f"{variant}.jsonl"):
        first.setdefault(row["id"], row)
    tokenizer, model = load_tokenizer(BASE), load_model(BASE, ADAPTERS / variant)
    conversations = [
        teacher_force(tokenizer, messages_of(row), row["ids"][:LONGEST], ["response_mean"])
        for row in first.values()
    ]
    with progress(f"tokens {variant}", len(conversations)) as advance:
        found = token_projections(
            model,
            conversations,
            "response_mean",
            directions,
            tokenizer.pad_token_id,
            token_budget(),
            advance,
        )
    rows = []
    for row, projections in zip(first.values(), found, strict=True):
        texts = pieces(tokenizer, row["ids"][:LONGEST], row["answer"])
        rows.append(
            {
                **{key: row[key] for key in ("id", "question", "sample")},
                "whole": "".join(text for text, _ in texts) == row["answer"],
                "pieces": [text for text, _ in texts],
                "tokens": [tokens for _, tokens in texts],
                "projections": {
                    trait: means(projections[trait], [tokens for _, tokens in texts])
                    for trait in directions
                },
            }
        )
    write_jsonl(OUT / variant / "answers.jsonl", rows)
    record = {"base": base_record(BASE), "variant": variant_record(ADAPTERS / variant)}
    write_json(OUT / variant / "scales.json", {"traits": scales, **record})


if __name__ == "__main__":
    run(main)
