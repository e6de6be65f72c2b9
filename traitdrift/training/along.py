"""Adapters kept along a training, after evenly spread optimiser steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from traitdrift.core.ranks import is_main
from traitdrift.training.settings import kept_steps

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class KeptAlong(TrainerCallback):
    """Saves the adapter into `folder` after `count` steps (`kept_steps`); None: never.

    `folder` is one that outlives an interruption, as the Trainer's checkpoints do. Those are
    written after a step has ended here, so what a resumed training does not go through again has
    been kept before. `key` names `count` in the ValueError of `kept_steps`, which comes before the
    first step.
    """

    def __init__(self, folder: Path, count: int | None, key: str):
        self.folder, self.count, self.key = folder, count, key
        self.steps: list[int] = []

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,
    ) -> None:
        if self.count is not None:
            self.steps = kept_steps(self.count, state.max_steps, self.key)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: Any,
    ) -> None:
        if state.global_step in self.steps and is_main():
            saved = self.folder / str(state.global_step)
            others["model"].save_pretrained(str(saved), save_embedding_layers=False)

    def kept(self) -> Iterator[tuple[int, Path]]:
        """Each step, and where the adapter after it was saved."""
        return ((step, self.folder / str(step)) for step in self.steps)
