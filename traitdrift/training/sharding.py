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

from traitdrift.core.devices import DEVICE, device
from traitdrift.core.ranks import FSDP, world
from traitdrift.models.footprint import refuse_oversized
from traitdrift.models.from_files import config_of, network_of, outline
from traitdrift.models.loading import base_record, only_special_tokens, weights_location
from traitdrift.training.settings import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer


def prepare(recipe: Recipe) -> None:
    """Refuse what cannot be cut: ValueError."""
    import torch

    if "LOCAL_RANK" not in os.environ:
        raise ValueError(
            f'{FSDP}=1: needs LAUNCH="torchrun --nproc-per-node N", for N GPUs; or unset {FSDP}'
        )
    if recipe.backend == "unsloth":
        raise ValueError(
            f"{FSDP}=1: backend unsloth keeps the base whole; choose backend peft (recipe trainer) "
            f"or unset {FSDP}"
        )
    if DEVICE in os.environ and torch.accelerator.is_available():
        raise ValueError(f"{FSDP}=1: takes the GPUs that torch finds; unset {DEVICE}")


def loaded(base: Path) -> PreTrainedModel:
    """The base, frozen and cut.

    Raises ValueError where it is to be quantised, where its family cannot be cut, or where a share
    of it cannot fit.
    """
    import torch
    from torch.distributed.fsdp import fully_shard
    from transformers.distributed.configuration_utils import DistributedConfig
    from transformers.distributed.fsdp import expand_fsdp_plan

    record = base_record(base)
    config = config_of(base)
    if record.get("quantise", "none") != "none":
        raise ValueError(
            f"{FSDP}=1: the base is to be quantised ({record['quantise']}), and is not cut then; "
            f"choose the model without `quantise` or unset {FSDP}"
        )
    network = outline(config)
    cut = {
        type(module).__name__
        for _, module in expand_fsdp_plan(network, network._fsdp_plan or {})[0]
    }
    if not cut & set(network._no_split_modules or ()):  # its blocks go by another name
        raise ValueError(
            f"{FSDP}=1: transformers does not cut models of type {config.model_type}; unset {FSDP}"
        )
    where, options = weights_location(base)
    refuse_oversized(where, config, record["dtype"], "none", world())
    model = network_of(
        where,
        dtype=getattr(torch, record["dtype"]),
        distributed_config=DistributedConfig(fsdp_size=world()),
        device_map={"": device()} if world() == 1 else None,
        **options,
    )
    if world() == 1:  # transformers leaves it whole: what several processes do is done in one
        for module in list(model.modules()):
            if type(module).__name__ in (model._no_split_modules or ()):
                fully_shard(module)
        fully_shard(model)
    # peft would take these for tensor parallelism, and gather the whole base to save an adapter.
    model._device_mesh = model._tp_size = None
    only_special_tokens(model)
    return model.requires_grad_(False).eval()


def share_gradients(trainer: Trainer) -> None:
    """Average the adapter's gradients alone: accelerate would not let a cut model through.

    Its weights are one seed's in every process, and need no sharing at the beginning.
    """
    from torch.nn.parallel import DistributedDataParallel

    model = trainer.accelerator.prepare_model(trainer.model, evaluation_mode=True)  # autocast
    trainer.model_wrapped = DistributedDataParallel(
        model, broadcast_buffers=False, init_sync=False, gradient_as_bucket_view=True
    )
