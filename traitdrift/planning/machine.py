"""What this machine has free, and the first stage of a plan that is too large for it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traitdrift.models.footprint import GB, Memory, free_memory, free_ram
from traitdrift.planning.needs import RUNTIME, Needs
from traitdrift.planning.plan import StagePlan


@dataclass(frozen=True)
class Machine:
    """Bytes free where models run, in RAM, and on the disk of the pipeline."""

    device: Memory
    ram: int
    disk: int

    @property
    def has_gpu(self) -> bool:
        return self.device.where != "in RAM"


def this_machine(root: Path) -> Machine:
    """What is free at present; `root` is the pipeline's folder."""
    return Machine(free_memory(), free_ram(), shutil.disk_usage(root).free)


def memory(needs: Needs, here: Machine) -> int:
    """What a stage's process asks of the place where models run."""
    return needs.device if here.has_gpu else needs.ram


def lacking(needs: Needs, here: Machine) -> tuple[int, int, str] | None:
    """Bytes needed, bytes free and where, if a stage's process does not fit."""
    asked = [(memory(needs, here), here.device.free, here.device.where)]
    if here.has_gpu:
        asked.append((needs.kept + RUNTIME, here.ram, "in RAM"))
    return next((one for one in asked if one[0] > one[1]), None)


def shortfall(stages: Sequence[StagePlan], here: Machine) -> str | None:
    """One line on the first stage that does not fit, and what helps; None where all fit."""
    for stage in stages:
        if found := lacking(stage.needs, here):
            needed, free, where = found
            return (
                f"{stage.stage}: needs {needed / GB:.1f} GB and {free / GB:.1f} GB are free "
                f"{where}; {_way_out(stage.needs)}"
            )
    disk = disk_needed(stages)
    if disk > here.disk:
        return (
            f"the outputs take {disk / GB:.1f} GB and {here.disk / GB:.1f} GB of disk are free; "
            "make room, or keep DVC's cache and HF_HOME on another disk"
        )
    return None


def disk_needed(stages: Sequence[StagePlan]) -> int:
    """Bytes that all cells write, once."""
    return sum(stage.cells * stage.needs.disk for stage in stages)


def _way_out(needs: Needs) -> str:
    """What lowers the largest part of a need."""
    ways = {
        "weights": "a smaller model, `quantise: 4bit` in its entry, or a machine with more",
        "adapter": "a smaller `lora.r` in the recipe, or a machine with more",
        "optimizer": "`optimizer: adamw_8bit` in the recipe, or a machine with more",
        "activations": "`gradient_checkpointing: true` or a smaller `batch_size` in the recipe, "
        "or a smaller TRAITDRIFT_BATCH_TOKENS",
        "logits": "a smaller `batch_size` and more `gradient_accumulation` in the recipe, "
        "or a smaller TRAITDRIFT_BATCH_TOKENS",
        "cache": "a smaller TRAITDRIFT_BATCH_TOKENS",
        "kept": "fewer `capture.positions`, or a machine with more RAM",
    }
    largest = max(ways, key=lambda part: getattr(needs, part))
    return f"most of it is {largest}: {ways[largest]}"
