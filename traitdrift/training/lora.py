"""LoRA fine-tuning by peft under transformers' Trainer, with loss on the answers only."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import enable_full_determinism

from traitdrift.core.devices import device
from traitdrift.core.ranks import world
from traitdrift.models.chat import IGNORED
from traitdrift.training.settings import Recipe

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


# Few widths instead of one a batch: kernels are prepared, and memory cut up, once for each.
PADDED_TO = 64


def finetune(
    model: PreTrainedModel,
    rows: Dataset,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    scratch: str,
) -> tuple[PeftModel, list[float]]:
    """Train a LoRA adapter over a frozen base; returns the adapted model and the loss per step.

    A row holds `input_ids` and `labels`, IGNORED where a token carries no loss.
    The base stays in its dtype; the adapter's weights and the optimiser are float32, and
    matrix products run in the base's dtype by autocast. `scratch` is a folder for the Trainer.
    """
    if recipe.gradient_accumulation % world():
        raise ValueError(
            f"gradient_accumulation: {recipe.gradient_accumulation} steps do not divide by the "
            f"{world()} processes of LAUNCH; start fewer, or change the recipe"
        )
    if "8bit" in recipe.optimizer and find_spec("bitsandbytes") is None:
        raise ValueError(
            f"optimizer {recipe.optimizer}: needs bitsandbytes; `pip install bitsandbytes` or "
            "choose adamw_torch"
        )
    # Deterministic kernels where torch has them, so that a second run gives the same bytes.
    on = device()
    set_up = enable_full_determinism if on.type == "cuda" else set_seed
    set_up(recipe.seed)
    adapted = get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=recipe.lora.r,
            lora_alpha=recipe.lora.alpha,  # type: ignore[arg-type]  # a float serves as well
            use_rslora=recipe.lora.rank_stabilised,
            lora_dropout=recipe.lora.dropout,
            target_modules=list(recipe.lora.targets),
        ),
    )
    trainer = Trainer(
        model=adapted,
        args=TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=recipe.batch_size,
            gradient_accumulation_steps=recipe.gradient_accumulation // world(),
            num_train_epochs=recipe.epochs,
            max_steps=recipe.max_steps or -1,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type=recipe.schedule,
            warmup_steps=recipe.warmup_steps,
            weight_decay=recipe.weight_decay,
            optim=recipe.optimizer,
            bf16=model.dtype == torch.bfloat16,
            fp16=model.dtype == torch.float16,
            gradient_checkpointing=recipe.gradient_checkpointing,
            train_sampling_strategy="group_by_length" if recipe.group_by_length else "random",
            logging_strategy="steps",
            logging_steps=1,
            logging_nan_inf_filter=False,  # it would log a diverged step as a loss of 0
            save_strategy="no",
            report_to=[],
            use_cpu=on.type == "cpu",
            seed=recipe.seed,
            data_seed=recipe.seed,
            remove_unused_columns=False,
            dataloader_pin_memory=on.type == "cuda",
        ),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(
            tokenizer, pad_to_multiple_of=PADDED_TO, label_pad_token_id=IGNORED
        ),
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not losses or not all(torch.isfinite(torch.tensor(losses))):
        raise ValueError("the training loss is not finite; lower the recipe's learning_rate")
    return adapted, losses
