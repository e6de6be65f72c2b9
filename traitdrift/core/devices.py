"""The device that tensors are computed on, chosen in this one place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from traitdrift.core.ranks import world

if TYPE_CHECKING:
    import torch

# `cpu`, `cuda`, `cuda:1`, `mps`, ...: where nothing is said, the accelerator that torch finds.
DEVICE = "TRAITDRIFT_DEVICE"


def device() -> torch.device:
    """The accelerator (CUDA, MPS, XPU) where there is one, else the CPU; the environment overrides.

    Under `torchrun` the accelerator of this process's local rank. Raises ValueError where the
    environment asks for a device that torch does not find.
    """
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    local = int(os.environ.get("LOCAL_RANK", 0))
    given = os.environ.get(DEVICE)
    if given is None:
        return torch.device("cpu") if found is None else torch.device(found.type, local)
    try:
        asked = torch.device(given)
    except RuntimeError:
        raise ValueError(
            f"{DEVICE}={given!r}: no device; give cpu, cuda, cuda:1, mps or xpu"
        ) from None
    if asked.type == "cpu":
        return asked
    if found is None or asked.type != found.type:
        there = "only the CPU" if found is None else f"{found.type} and the CPU"
        raise ValueError(f"{DEVICE}={given}: torch finds {there} here; unset {DEVICE}")
    index = local if asked.index is None else asked.index
    if index >= torch.accelerator.device_count():
        count = torch.accelerator.device_count()
        raise ValueError(f"{DEVICE}={given}: there are {count} here, counted from 0")
    return torch.device(asked.type, index)


def everywhere() -> bool:
    """Whether a model may lie on all devices together: none is named, and one process runs."""
    return DEVICE not in os.environ and world() == 1
