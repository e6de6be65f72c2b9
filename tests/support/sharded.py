"""A program that trains tiny bases under `torchrun`, each whole in every process and then cut.

Main keeps each adapter in the folder named on the command line, and beside it what was told.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import tiny
import torch
from tiny_finetune import RECIPE, rows
from transformers import TrainerCallback

from traitdrift.core.ranks import FSDP, is_main, others_end, world
from traitdrift.models.adapter import keep_adapter
from traitdrift.training import lora
from traitdrift.training.backends import adapted_model, prepare
from traitdrift.training.settings import Recipe

STEPS = {"batch_size": 2, "gradient_accumulation": 4, "group_by_length": False, "max_steps": 5}
DROPOUT = RECIPE.lora.model_copy(update={"dropout": 0.1})
RECIPES = {
    "float32": RECIPE.model_copy(update=STEPS),
    "bfloat16": RECIPE.model_copy(
        update={**STEPS, "lora": DROPOUT, "gradient_checkpointing": True}
    ),
    "tied": RECIPE.model_copy(update={**STEPS, "group_by_length": True}),
}


def tied():
    """A random Qwen2 with biases, whose vocabulary head is its embedding."""
    model = tiny.qwen2()
    model.config.tie_word_embeddings = True
    model.tie_weights()
    return model


MODELS = {
    "float32": tiny.llama,
    "bfloat16": lambda: tiny.llama(dtype=torch.bfloat16),
    "tied": tied,
}


class Killed(Exception):
    """A moment at which training ends without its end."""


class Kill(TrainerCallback):
    def on_step_end(self, _arguments, state, _control, **_others):
        if state.global_step == 4:
            raise Killed


def trained(base: Path, recipe: Recipe, out: Path, *callbacks: TrainerCallback) -> dict:
    """Train and keep the adapter, as the stage does; what there is to tell of it."""
    prepare(recipe, layers=3)
    model = adapted_model(base, recipe)
    real = lora.trainer_for

    def trainer_for(*arguments):
        trainer = real(*arguments)
        for callback in callbacks:
            trainer.add_callback(callback)
        return trainer

    lora.trainer_for = trainer_for
    scratch = out / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    begun = lora.newest_checkpoint(scratch)
    try:
        losses = lora.finetune(model, rows(), recipe, tiny.tokenizer(), str(scratch))
    finally:
        lora.trainer_for = real
    if is_main():
        model.save_pretrained(str(out / "saved"))
        keep_adapter(out / "saved", out, "tiny")
    frozen = [p for p in model.parameters() if not p.requires_grad]
    return {
        "begun": begun and Path(begun).name,
        "losses": losses,
        "frozen": sum(p.numel() for p in frozen),
        "held": sum(getattr(p, "_local_tensor", p).numel() for p in frozen),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "dtypes": sorted({str(p.dtype)[6:] for p in model.parameters()}),
    }


def main(out: Path, bases: Path) -> None:
    torch.set_num_threads(1)
    lora.CHECKPOINT_STEPS = 3
    told = {}
    for name, recipe in RECIPES.items():
        for cut in "01":
            os.environ[FSDP] = cut
            told[name + cut] = trained(bases / name / "base", recipe, out / (name + cut))
    if world() > 1:
        base, recipe = bases / "float32/base", RECIPES["float32"]
        try:
            trained(base, recipe, out / "killed", Kill())
        except Killed:
            told["killed"] = trained(base, recipe, out / "killed")
    others_end()
    (out / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
