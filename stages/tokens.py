"""plots/tokens/<variant>/: one response to each question, token by token along the trait vectors.

The variant reads its own response (teacher forcing); the chosen vector of each trait is asked at
every token, whatever position it was made at. Base's class means are the scale to read it by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages import run
from traitdrift.activations.per_token import Direction, row_by_piece, token_projections
from traitdrift.activations.positions import teacher_force
from traitdrift.core.classes import CLASSES
from traitdrift.core.files import read_json, read_jsonl, rounded, write_json, write_jsonl
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.generation.responses import messages_of
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record
from traitdrift.vectors.file import read_vectors

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
RESPONSES = Path("data/responses")
VECTORS = Path("models/vectors")
CHOICES = Path("metrics/vectors")
OUT = Path("plots/tokens")
LONGEST = 160  # tokens of a response: enough to read, few enough for git


def main(variant: str) -> None:
    others_end()
    directions, scales = {}, {}
    for path in sorted(CHOICES.glob("*.json")):
        chosen, vectors = read_json(path), read_vectors(VECTORS / f"{path.stem}.safetensors")
        position, layer = chosen["position"], chosen["layer"]
        vector = vectors.vectors(position, chosen["method"])[layer]
        directions[path.stem] = Direction(layer, vector)
        means = {label: vectors.class_mean(position, label)[layer] for label in CLASSES}
        scales[path.stem] = {
            **{key: chosen[key] for key in ("position", "method", "layer")},
            **{c: rounded((means[c].double() @ vector.double()).item()) for c in CLASSES},
        }
    first: dict[str, dict[str, Any]] = {}
    for _, row in read_jsonl(RESPONSES / f"{variant}.jsonl"):
        first.setdefault(row["id"], {**row, "ids": row["ids"][:LONGEST]})
    tokenizer, model = load_tokenizer(BASE), load_model(BASE, ADAPTERS / variant)
    conversations = [
        teacher_force(tokenizer, messages_of(row), row["ids"], ["response_mean"])
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
    rows = (
        row_by_piece(tokenizer, row, row["ids"], {trait: along[trait] for trait in directions})
        for row, along in zip(first.values(), found, strict=True)
    )
    write_jsonl(OUT / variant / "answers.jsonl", rows)
    record = {"base": base_record(BASE), "variant": variant_record(ADAPTERS / variant)}
    write_json(OUT / variant / "scales.json", {"traits": scales, **record})


if __name__ == "__main__":
    run(main)
