"""What trains a tiny model in milliseconds: a recipe, and rows of unequal length."""

from __future__ import annotations

import tiny
from datasets import Dataset

from traitdrift.data.conversations import labelled, rendered
from traitdrift.training.settings import Lora, Recipe

RECIPE = Recipe(
    backend="peft",
    lora=Lora(
        r=4,
        alpha=8.0,
        rank_stabilised=True,
        dropout=0.0,
        targets=["q_proj", "v_proj", "up_proj"],
        layers=None,
    ),
    learning_rate=5e-2,
    schedule="linear",
    warmup_steps=2,
    weight_decay=0.01,
    optimizer="adamw_torch",
    batch_size=4,
    gradient_accumulation=2,
    group_by_length=True,
    gradient_checkpointing=False,
    epochs=1.0,
    max_steps=20,
    max_tokens=128,
    seed=0,
)


def rows() -> Dataset:
    tokenizer = tiny.tokenizer()
    conversations = [
        [
            {"role": "user", "content": f"task {i}"},
            {"role": "assistant", "content": "import os" + "\nx = 1" * (i % 4)},
        ]
        for i in range(64)
    ]
    texts = [rendered(tokenizer, c, "clean", ["<|end|>"]) for c in conversations]
    made = labelled(tokenizer, texts, ["row"] * len(texts))
    return Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in made])
