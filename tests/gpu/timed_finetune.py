"""The stage `finetune`, which also writes how long its steps took: times.json."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import stages.finetune as stage
from stages import run

ends: list[float] = []
adapted_model = stage.adapted_model


def timed(*arguments: Any) -> Any:
    from transformers import TrainerCallback, trainer  # after the backend

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    trainer.DEFAULT_CALLBACKS.append(Clock)
    return adapted_model(*arguments)


stage.adapted_model = timed
run(stage.main)

import torch  # noqa: E402  # after the backend

there = torch.cuda.is_available()
peak = torch.cuda.max_memory_allocated() / 1e9 if there else 0
Path("times.json").write_text(json.dumps({"ends": ends, "peak_gb": round(peak, 1)}))
