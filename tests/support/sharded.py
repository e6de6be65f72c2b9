"""A program that trains a tiny base as the stage does, under `torchrun`; settings come as JSON.

Main keeps the adapter and what else there is to compare in the folder named first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tiny
import torch
from tiny_finetune import RECIPE, rows
from transformers import Trainer, TrainerCallback

from traitdrift.core.ranks import others_end
from traitdrift.models.loading import keep_adapter
from traitdrift.training import lora
from traitdrift.training.backends import adapted_model, prepare
from traitdrift.training.settings import Recipe


class Stop(TrainerCallback):
    """Ends every process after a step, as a kill would."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, _arguments, state, _control, **_others):
        if state.global_step == self.step:
            raise SystemExit(3)


def main(out: Path, base: Path, changes: dict, stop: int | None) -> None:
    torch.set_num_threads(1)
    lora.CHECKPOINT_STEPS = 3
    recipe = Recipe.model_validate({**RECIPE.model_dump(), **changes})
    prepare(recipe, layers=3)
    model = adapted_model(base, recipe)
    if stop:
        real = Trainer.train
        Trainer.train = lambda self, **options: (
            self.add_callback(Stop(stop)),
            real(self, **options),
        )[1]
    scratch = out / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    resumed = lora.newest_checkpoint(scratch)
    losses = lora.finetune(model, rows(), recipe, tiny.tokenizer(), str(scratch))
    held = sum(getattr(p, "_local_tensor", p).numel() for p in model.parameters())
    others_end()
    model.save_pretrained(str(out / "saved"))
    keep_adapter(out / "saved", out / "kept", "tiny")
    told = {
        "losses": losses,
        "resumed": resumed and Path(resumed).name,
        "held": held,
        "all": sum(p.numel() for p in model.parameters()),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "dtypes": sorted({str(p.dtype) for p in model.parameters()}),
    }
    (out / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
