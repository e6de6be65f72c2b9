"""What a model weighs, by its config alone, and the memory that is free for it."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.devices import device, everywhere
from traitdrift.models.from_files import outline
from traitdrift.models.quantisation import BYTES, of_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ANY_SIZE = "TRAITDRIFT_ANY_SIZE"
GB = 10**9


@dataclass(frozen=True)
class Memory:
    """Bytes that are free, and where: on the GPUs together where there is one, else in RAM."""

    where: str
    free: int


def weights_size(network: PreTrainedModel, dtype: str, quantise: str = "none") -> int:
    """Bytes of a network's weights as they are loaded; what is tied counts once.

    Linear layers other than the vocabulary head are what is quantised.
    """
    import torch

    total = sum(p.numel() for p in network.parameters())
    packed = 0
    if quantise in BYTES:
        head = network.get_output_embeddings()
        packed = sum(
            module.weight.numel()
            for module in network.modules()
            if isinstance(module, torch.nn.Linear) and module is not head
        )
    whole = (total - packed) * getattr(torch, dtype).itemsize
    return whole + int(packed * BYTES.get(quantise, 0))


def free_memory() -> Memory:
    """What a model may take at present: where `core.devices` puts it, on the GPUs or in RAM.

    What can be had back counts as free: cached files, among them weights, and what torch's
    allocator keeps of tensors that are gone.
    """
    import torch

    chosen = device()
    if chosen.type in ("cpu", "mps"):  # a Mac's accelerator works in its RAM
        return Memory("in RAM", free_ram())
    accelerator = getattr(torch, chosen.type)
    places = range(accelerator.device_count()) if everywhere() else [chosen.index or 0]
    free = [
        accelerator.mem_get_info(place)[0]
        + accelerator.memory_reserved(place)
        - accelerator.memory_allocated(place)
        for place in places
    ]
    return Memory("on the GPU" if len(free) == 1 else f"on {len(free)} GPUs", sum(free))


def free_ram() -> int:
    """Bytes of RAM that this process may still take, the limit of its control group counted."""
    import psutil

    return min([psutil.virtual_memory().available, *limits(Path("/sys/fs/cgroup"))])


def limits(root: Path) -> list[int]:
    """What control groups leave, by which containers and job schedulers limit memory.

    `root` is where version 2 of them is mounted.
    """
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::/")[2]
    except OSError:
        return []
    left = []
    for folder in [root / own, *(root / own).parents]:
        if folder == root.parent:
            break
        try:
            limit = (folder / "memory.max").read_text().strip()
            used = int((folder / "memory.current").read_text())
            cached = dict(
                line.split() for line in (folder / "memory.stat").read_text().splitlines()
            )
        except (OSError, ValueError):
            continue
        if limit != "max":
            left.append(int(limit) - used + int(cached.get("file", 0)))
    return left


def refuse_oversized(name: str, config: Any, dtype: str, quantise: str, processes: int = 1) -> None:
    """Raise ValueError where a model's weights alone are more than the memory that is free.

    Those of a model that is cut over several processes count by their share. Nothing is said of a
    model that is stored quantised in a way not known here.
    TRAITDRIFT_ANY_SIZE=1 lets everything pass.
    """
    stored = of_config(config)
    if os.environ.get(ANY_SIZE) == "1" or stored not in ("none", *BYTES):
        return
    as_loaded = quantise if stored == "none" else stored
    needed = weights_size(outline(config), dtype, as_loaded) // processes
    memory = free_memory()
    if needed > memory.free:
        gc.collect()  # a model that was let go of may wait for it
        memory = free_memory()
    if needed > memory.free:
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise ValueError(
            f"{name}: its weights take {needed / GB:.1f} GB{each} and {memory.free / GB:.1f} GB "
            f"are free {memory.where}; choose a smaller model or `quantise: 4bit` in its entry of "
            "`models`, or a machine with more (`python -m traitdrift plan` says how much); "
            f"{ANY_SIZE}=1 tries it all the same"
        )
