"""The model with its adapter by either backend: peft, or Unsloth, which patches transformers.

Rows, loss and Trainer are the same for both (`lora`). Nothing here imports transformers or peft
before `prepare` has imported the backend, for Unsloth patches what is imported after it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from traitdrift.core.devices import device
from traitdrift.core.ranks import sharded, world
from traitdrift.models.footprint import refuse_oversized
from traitdrift.models.from_files import config_of
from traitdrift.models.loading import (
    base_record,
    load_model,
    only_special_tokens,
    weights_location,
)
from traitdrift.models.quantisation import require
from traitdrift.training import sharding
from traitdrift.training.settings import Recipe
from traitdrift.training.targets import linear_layers, refuse_unmatched, unmatched_line

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def prepare(recipe: Recipe, layers: int) -> None:
    """Refuse what the base of so many layers or this machine lacks; import what comes first.

    Call it before anything else imports transformers or peft. Raises ValueError.
    """
    if recipe.gradient_accumulation % world():
        raise ValueError(
            f"gradient_accumulation: {recipe.gradient_accumulation} steps do not divide by the "
            f"{world()} processes of LAUNCH; start fewer, or change the recipe"
        )
    beyond = [layer for layer in recipe.lora.layers or [] if layer >= layers]
    if beyond:
        raise ValueError(
            f"the recipe's lora.layers: {beyond[0]} is not in the base, which has layers 0 to "
            f"{layers - 1}"
        )
    if sharded():
        sharding.prepare(recipe)
    if recipe.backend == "unsloth":
        _import_unsloth()
    if "8bit" in recipe.optimizer:
        require(f"optimizer {recipe.optimizer}")
        if recipe.backend == "unsloth" and device().type != "cuda":
            raise ValueError(
                f"optimizer {recipe.optimizer}: needs a GPU, without which Unsloth takes another; "
                "choose adamw_torch or backend peft"
            )


def adapted_model(base: Path, recipe: Recipe) -> PeftModel:
    """The base at a folder with a new, seeded adapter over it, by the recipe's backend."""
    if recipe.backend == "unsloth":
        return _by_unsloth(base, recipe)
    if sharded():
        return by_peft(sharding.loaded(base), recipe)
    return by_peft(load_model(base), recipe)


def by_peft(model: PreTrainedModel, recipe: Recipe) -> PeftModel:
    """A new, seeded adapter over a model; a ValueError for a target that matches nothing of it."""
    from peft import LoraConfig, NoMatchingPeftModuleError, get_peft_model

    targets, linear = list(recipe.lora.targets), linear_layers(model)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.lora.r,
        lora_alpha=recipe.lora.alpha,  # type: ignore[arg-type]  # a float serves as well
        use_rslora=recipe.lora.rank_stabilised,
        lora_dropout=recipe.lora.dropout,
        target_modules=targets,
        layers_to_transform=recipe.lora.layers,
    )
    _seed(recipe)
    try:
        with warnings.catch_warnings():
            # Of ranks that peft gives to experts itself, and looks for among modules.
            warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys")
            adapted = get_peft_model(model, config)
    except ValueError as error:
        if not isinstance(error, NoMatchingPeftModuleError):
            raise ValueError(f"the recipe's lora.targets: {error}; mend them")
        raise ValueError(unmatched_line(targets, linear))
    refuse_unmatched(adapted, targets, linear)
    return adapted


def _by_unsloth(base: Path, recipe: Recipe) -> PeftModel:
    import torch
    from unsloth import FastLanguageModel

    record = base_record(base)
    if record.get("quantise", "none") != "none":
        raise ValueError(
            f"backend unsloth: the base is to be quantised ({record['quantise']}); choose backend "
            "peft (recipe trainer), or the model without `quantise`"
        )
    dtype = getattr(torch, record["dtype"])
    where, options = weights_location(base)
    refuse_oversized(where, config_of(base), record["dtype"], "none")
    # "unsloth" recomputes activations as True does, and keeps what it must in the CPU's memory.
    checkpointing = "unsloth" if recipe.gradient_checkpointing else False
    model, _ = FastLanguageModel.from_pretrained(  # its tokenizer is not ours: it is left alone
        where,
        max_seq_length=recipe.max_tokens,
        dtype=dtype,
        load_in_4bit=False,  # the default is 4 bits
        fix_tokenizer=False,
        use_exact_model_name=True,  # the default takes Unsloth's own copy of a model
        use_gradient_checkpointing=checkpointing,
        trust_remote_code=False,
        **options,
    )
    if model.dtype != dtype:
        raise ValueError(
            f"backend unsloth: loads {record['dtype']} as {str(model.dtype)[6:]} here; choose "
            "backend peft or another dtype for the model"
        )
    only_special_tokens(model)
    linear = linear_layers(model)
    _seed(recipe)
    adapted: PeftModel = FastLanguageModel.get_peft_model(
        model,
        r=recipe.lora.r,
        target_modules=list(recipe.lora.targets),
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        layers_to_transform=recipe.lora.layers,
        use_gradient_checkpointing=checkpointing,
        random_state=recipe.seed,
        max_seq_length=recipe.max_tokens,
        use_rslora=recipe.lora.rank_stabilised,
    )
    refuse_unmatched(adapted, recipe.lora.targets, linear)
    return adapted


def _import_unsloth() -> None:
    if find_spec("unsloth") is None:
        raise ValueError(
            "backend unsloth: the extra `unsloth` is not installed; `pip install --no-deps -r "
            "requirements-unsloth.lock` or choose backend peft"
        )
    if "UNSLOTH_COMPILE_LOCATION" not in os.environ:  # else a folder in the working directory
        scratch = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        os.environ["UNSLOTH_COMPILE_LOCATION"] = scratch
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")  # it would ask the hub at every load
    try:
        import_module("unsloth")
    except (ImportError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"backend unsloth: {error}; mend that or choose backend peft")


def _seed(recipe: Recipe) -> None:
    """Deterministic kernels where torch has them, so that a second run gives the same bytes."""
    from transformers import set_seed
    from transformers.trainer_utils import enable_full_determinism

    if device().type == "cuda":
        # Unsloth's kernels are its own: what has no deterministic form warns.
        enable_full_determinism(recipe.seed, warn_only=recipe.backend == "unsloth")
    else:
        set_seed(recipe.seed)
