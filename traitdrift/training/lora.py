"""LoRA fine-tuning under transformers' Trainer, with loss on the answers only."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft.helpers import disable_input_dtype_casting
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from traitdrift.core.devices import device
from traitdrift.core.ranks import sharded, world
from traitdrift.inference.attention import attending
from traitdrift.inference.hooks import core
from traitdrift.models.chat import IGNORED
from traitdrift.training import sharding
from traitdrift.training.adapted_product import in_one_node
from traitdrift.training.packed import (
    SideBySide,
    attention_by_rows,
    loss_of_targets,
    takes_rows_side_by_side,
)
from traitdrift.training.settings import Recipe

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from traitdrift.training.along import KeptAlong


# Few widths instead of one a batch: kernels are prepared, and memory cut up, once for each.
PADDED_TO = 64
CHECKPOINT_STEPS = 25


def trainer_for(
    adapted: PeftModel,
    rows: Dataset,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    scratch: str,
) -> Trainer:
    """What trains an adapter over a frozen base (`backends`) on rows of `labelled`.

    A row holds `input_ids` and `labels`, IGNORED where a token carries no loss.
    The base stays in its dtype; the adapter's weights and the optimiser are float32, and
    matrix products run in the base's dtype by autocast. The rows of a batch lie side by side
    (`packed`) where the network takes them so. `scratch` is a folder for the Trainer.
    """
    dtype = adapted.get_base_model().dtype
    on = device()
    packed = recipe.backend == "peft" and takes_rows_side_by_side(adapted)
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
            bf16=dtype == torch.bfloat16,
            fp16=dtype == torch.float16,
            gradient_checkpointing=recipe.gradient_checkpointing,
            train_sampling_strategy="group_by_length" if recipe.group_by_length else "random",
            logging_strategy="steps",
            logging_steps=1,
            logging_nan_inf_filter=False,  # it would log a diverged step as a loss of 0
            # Rows grouped by length are in an order that is drawn at the beginning of an epoch.
            save_strategy="epoch" if recipe.group_by_length else "steps",
            save_steps=CHECKPOINT_STEPS,
            save_total_limit=2,  # the newest may be half-written
            report_to=[],
            use_cpu=on.type == "cpu",
            seed=recipe.seed,
            data_seed=recipe.seed if recipe.order_seed is None else recipe.order_seed,
            remove_unused_columns=False,
            dataloader_pin_memory=on.type == "cuda",
        ),
        train_dataset=rows,
        data_collator=SideBySide(tokenizer.pad_token_id or 0, PADDED_TO)
        if packed
        else DataCollatorForSeq2Seq(
            tokenizer, pad_to_multiple_of=PADDED_TO, label_pad_token_id=IGNORED
        ),
        compute_loss_func=loss_of_targets if packed else None,
    )
    if on.type == "cpu":  # of several processes it is `cpu:0`, which torch.load does not know
        trainer.args._setup_devices = on
    if sharded():
        sharding.share_gradients(trainer)
    return trainer


def finetune(
    adapted: PeftModel,
    rows: Dataset,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    scratch: str,
    along: KeptAlong | None = None,
) -> list[float]:
    """Train an adapter; the loss of each step. Raises ValueError if it diverged.

    Goes on from the newest whole checkpoint in `scratch`, with the bytes of a run that was never
    interrupted. `along` keeps the adapter after steps in between, which changes none of them.
    """
    trainer = trainer_for(adapted, rows, recipe, tokenizer, scratch)
    if along:
        trainer.add_callback(along)
    attention: AbstractContextManager[None] = nullcontext()
    products: AbstractContextManager[None] = nullcontext()
    if recipe.backend == "peft":
        products = in_one_node(adapted)
    if isinstance(trainer.data_collator, SideBySide) and adapted.device.type == "cpu":
        attention = attending(core(adapted), attention_by_rows)  # type: ignore[arg-type]
    try:
        # Autocast casts what a matrix product takes; peft would cast it to float32 before.
        with disable_input_dtype_casting(adapted), attention, products:
            trainer.train(resume_from_checkpoint=newest_checkpoint(Path(scratch)))
    except ImportError as error:  # many of transformers' optimisers are packages of their own
        raise ValueError(f"optimizer {recipe.optimizer}: {error}")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not losses or not all(torch.isfinite(torch.tensor(losses))):
        raise ValueError("the training loss is not finite; lower the recipe's learning_rate")
    return losses


def newest_checkpoint(scratch: Path) -> str | None:
    """The last checkpoint that was written to its end: the Trainer's state comes last."""
    whole = {}
    for state in scratch.glob(f"checkpoint-*/{TRAINER_STATE_NAME}"):
        try:
            whole[json.loads(state.read_text())["global_step"]] = str(state.parent)
        except ValueError:
            continue
    return whole[max(whole)] if whole else None
