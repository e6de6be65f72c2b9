"""Training an adapter: the recipe's rows, batches and dtype, beside plain transformers.Trainer.

Each side has a process of its own, for a stage also tells glibc what to keep (`core/allocation`).
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    set_seed,
)

from bench.sides import Answer, keep, timed
from traitdrift.core.allocation import keep_freed_memory
from traitdrift.core.config import section
from traitdrift.data.finetune_file import training_rows
from traitdrift.models.loading import load_model, load_tokenizer
from traitdrift.training.backends import by_peft
from traitdrift.training.lora import finetune
from traitdrift.training.settings import Recipe

BASE = Path("models/base")
ROWS = Path("data/finetune/insecure/train.parquet")
STEPS = 20  # whose losses are compared
TIMED = 8  # a round

of_rows = tempfile.TemporaryDirectory()
# How a side's process trains, prepared by `begin`.
train: Callable[[Recipe, str], list[float]]


def main() -> None:
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(
                ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin, (name,))
            )
            for name in ("ours", "plain")
        }
        losses = {name: side.submit(steps, STEPS).result() for name, side in sides.items()}
        seconds = timed(
            {name: partial(result, side, TIMED) for name, side in sides.items()}, rounds=5
        )
    apart = max(abs(a - b) for a, b in zip(losses["ours"], losses["plain"], strict=True))
    keep(
        Answer(
            f"fine-tune, {TIMED} steps of the default recipe",
            "plain `transformers.Trainer`",
            seconds["ours"],
            seconds["plain"],
            1.8,
            f"losses of the first {STEPS} steps at most {apart:.1e} apart",
        )
    )


def result(side: ProcessPoolExecutor, count: int) -> list[float]:
    return side.submit(steps, count).result()


def begin(name: str) -> None:
    """Prepare a side's process: its model with a new adapter, its rows."""
    global train
    tokenizer = load_tokenizer(BASE)
    recipe = section(Recipe, "recipes.quick")
    rows = training_rows(ROWS, recipe.max_tokens, Path(of_rows.name))
    if name == "ours":
        keep_freed_memory()
        adapted = by_peft(load_model(BASE), recipe)
        train = partial(_ours, adapted, rows, tokenizer)
    else:
        train = partial(_plain, _by_peft_alone(load_model(BASE), recipe), rows, tokenizer)


def steps(count: int) -> list[float]:
    """Train a side's adapter further; the losses."""
    recipe = section(Recipe, "recipes.quick").model_copy(update={"max_steps": count})
    with tempfile.TemporaryDirectory() as scratch:
        return train(recipe, scratch)


def _ours(adapted: Any, rows: Dataset, tokenizer: Any, recipe: Recipe, scratch: str) -> list[float]:
    return finetune(adapted, rows, recipe, tokenizer, scratch)


def _by_peft_alone(model: PreTrainedModel, recipe: Recipe) -> Any:
    set_seed(recipe.seed)
    return get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=recipe.lora.r,
            lora_alpha=int(recipe.lora.alpha),
            use_rslora=recipe.lora.rank_stabilised,
            target_modules=list(recipe.lora.targets),
        ),
    )


def _plain(
    adapted: Any, rows: Dataset, tokenizer: Any, recipe: Recipe, scratch: str
) -> list[float]:
    trainer = Trainer(
        model=adapted,
        args=TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=recipe.batch_size,
            gradient_accumulation_steps=recipe.gradient_accumulation,
            max_steps=recipe.max_steps or -1,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type=recipe.schedule,
            warmup_steps=recipe.warmup_steps,
            weight_decay=recipe.weight_decay,
            optim=recipe.optimizer,
            bf16=True,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            seed=recipe.seed,
            data_seed=recipe.seed,
            remove_unused_columns=False,
            disable_tqdm=True,
        ),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    main()
