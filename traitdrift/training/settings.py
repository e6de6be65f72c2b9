"""Settings of the fine-tunes: recipes, LoRA, which data set trains which variant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from traitdrift.core.config import MOST, Count, Id, Section, Seed


class Lora(Section):
    r: Annotated[int, Field(ge=1, le=65_536)]
    alpha: Annotated[float, Field(ge=1e-3, le=2**20)]  # as of adapters that are read
    rank_stabilised: bool
    dropout: Annotated[float, Field(ge=0, lt=1)]
    targets: Annotated[list[str], Field(min_length=1)]
    layers: Annotated[list[Annotated[int, Field(ge=0, le=MOST)]], Field(min_length=1)] | None


class Recipe(Section):
    backend: Literal["peft", "unsloth"]
    lora: Lora
    learning_rate: Annotated[float, Field(gt=0, le=100)]
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    warmup_steps: Annotated[int, Field(ge=0, le=MOST)]
    weight_decay: Annotated[float, Field(ge=0, le=100)]
    optimizer: str
    batch_size: Count
    gradient_accumulation: Count
    group_by_length: bool
    gradient_checkpointing: bool
    epochs: Annotated[float, Field(gt=0, le=10_000)]
    max_steps: Count | None
    max_tokens: Annotated[int, Field(ge=8, le=MOST)]
    seed: Seed
    order_seed: Seed | None = None  # of the order of the rows; left out: as `seed`
    # Adapters kept over training. The bound is far above any use: a model is loaded for each.
    checkpoints: Annotated[int, Field(ge=1, le=1000)] | None = None


class Finetune(Section):
    """What is trained on which data set; seeds of its own make it another draw of the recipe."""

    dataset: Id
    seed: Seed | None = None
    order_seed: Seed | None = None

    def draw_of(self, recipe: Recipe) -> Recipe:
        """The recipe with this draw's seeds in the place of its own; ValueError if one is idle."""
        seeds = {"seed": self.seed, "order_seed": self.order_seed}
        drawn = recipe.model_copy(update={k: v for k, v in seeds.items() if v is not None})
        if drawn.order_seed is not None and drawn.group_by_length:
            raise ValueError(
                "order_seed: rows that are grouped by length come in an order of `seed`; leave it "
                "out, or set the recipe's group_by_length to false"
            )
        return drawn


def kept_steps(count: int, steps: int, key: str) -> list[int]:
    """`count` evenly spread ones of so many optimiser steps; the last of them is the last step.

    Raises ValueError that begins with `key`, the key of params.yaml, where they are fewer.
    """
    if count > steps:
        raise ValueError(f"{key}: {count} adapters in {steps} steps; ask for at most {steps}")
    return [(2 * number * steps + count) // (2 * count) for number in range(1, count + 1)]
