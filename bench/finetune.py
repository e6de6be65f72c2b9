"""Training an adapter: the recipe's rows, batches and dtype, beside plain transformers.Trainer."""

from __future__ import annotations

import tempfile
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
from traitdrift.core.config import section
from traitdrift.data.finetune_file import training_rows
from traitdrift.models.loading import load_model, load_tokenizer
from traitdrift.training.backends import by_peft
from traitdrift.training.lora import finetune
from traitdrift.training.settings import Recipe

BASE = Path("models/base")
ROWS = Path("data/finetune/insecure/train.parquet")
STEPS = 20  # whose losses are compared
TIMED = 4  # a round


def main() -> None:
    tokenizer = load_tokenizer(BASE)
    recipe = section(Recipe, "recipes.quick")
    scratch_of_rows = tempfile.TemporaryDirectory()
    rows = training_rows(ROWS, recipe.max_tokens, Path(scratch_of_rows.name))
    sides = {"ours": (_ours, by_peft), "plain": (_plain, _by_peft_alone)}
    losses: dict[str, list[float]] = {}
    trained: dict[str, Any] = {}
    few = recipe.model_copy(update={"max_steps": TIMED})
    with tempfile.TemporaryDirectory() as scratch:
        for name, (train, adapted) in sides.items():
            trained[name] = adapted(load_model(BASE), recipe)
            many = recipe.model_copy(update={"max_steps": STEPS})
            losses[name] = train(trained[name], rows, many, tokenizer, scratch)
        seconds = timed(
            {
                name: partial(train, trained[name], rows, few, tokenizer, scratch)
                for name, (train, _) in sides.items()
            },
            rounds=3,
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


def _ours(adapted: Any, rows: Dataset, recipe: Recipe, tokenizer: Any, scratch: str) -> list[float]:
    with tempfile.TemporaryDirectory(dir=scratch) as own:  # it would go on from a run before
        return finetune(adapted, rows, recipe, tokenizer, own)


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
    adapted: Any, rows: Dataset, recipe: Recipe, tokenizer: Any, scratch: str
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
