"""FSDP: the frozen base cut over the processes of `torchrun`, for a base that no GPU holds.

transformers cuts it while it loads it: each process reads its share of every matrix, and has a
block's weights whole only while the block computes. The adapter stays whole in each process, as
without FSDP: its gradients are averaged by torch's DistributedDataParallel, and optimisers,
checkpoints and the saved adapter are those of uncut training, to the bit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from traitdrift.core.devices import device
from traitdrift.core.ranks import FSDP, world
from traitdrift.models.loading import base_record, only_special_tokens, weights_location
from traitdrift.training.settings import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer


def prepare(recipe: Recipe) -> None:
    """Refuse what cannot be cut: ValueError."""
    if "LOCAL_RANK" not in os.environ:
        raise ValueError(
            f'{FSDP}=1: needs LAUNCH="torchrun --nproc-per-node N", with N GPUs; or unset it'
        )
    if recipe.backend == "unsloth":
        raise ValueError(
            f"{FSDP}=1: backend unsloth keeps the base whole; choose backend peft or unset {FSDP}"
        )


def loaded(base: Path) -> PreTrainedModel:
    """The base, frozen and cut. Raises ValueError where it is to be quantised or has no plan."""
    import torch
    from accelerate import PartialState
    from torch.distributed.device_mesh import init_device_mesh
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig
    from transformers.distributed.fsdp import apply_fully_sharded_data_parallelism

    record = base_record(base)
    if record.get("quantise", "none") != "none":
        raise ValueError(
            f"{FSDP}=1: the base is to be quantised ({record['quantise']}), and is not cut then; "
            f"choose the model without `quantise` or unset {FSDP}"
        )
    where, options = weights_location(base)
    on = device()
    PartialState(cpu=on.type == "cpu")  # the processes' group, as the Trainer would start it
    model = AutoModelForCausalLM.from_pretrained(
        where,
        dtype=getattr(torch, record["dtype"]),
        distributed_config=DistributedConfig(fsdp_size=world()),
        device_map={"": on} if world() == 1 else None,
        **options,
    )
    if world() == 1:  # transformers leaves it whole; in one piece it computes as in several
        model = apply_fully_sharded_data_parallelism(model, init_device_mesh(on.type, (1,)))
    # peft would take these for tensor parallelism, and gather the whole base to save an adapter.
    model._device_mesh = model._tp_size = None
    only_special_tokens(model)
    return model.requires_grad_(False).eval()


def share_gradients(trainer: Trainer) -> None:
    """Average the adapter's gradients alone: accelerate would not let a cut model through."""
    from torch.nn.parallel import DistributedDataParallel

    model = trainer.accelerator.prepare_model(trainer.model, evaluation_mode=True)  # autocast
    trainer.model_wrapped = DistributedDataParallel(
        model, broadcast_buffers=False, init_sync=False
    )
