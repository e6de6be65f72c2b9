"""A plan as people and as programs read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from traitdrift.models.footprint import GB
from traitdrift.params import Params
from traitdrift.planning.architecture import Architecture
from traitdrift.planning.machine import Machine, disk_needed, lacking, memory, shortfall
from traitdrift.planning.needs import RUNTIME
from traitdrift.planning.plan import StagePlan

# Figures of Needs and how wide their columns are; with the stage's name 96 characters.
COLUMNS = {
    "weights": 8,
    "adapter": 8,
    "optimizer": 10,
    "activations": 12,
    "logits": 7,
    "cache": 6,
    "kept": 6,
    "memory": 7,
    "disk": 7,
}


def as_json(params: Params, model: Architecture, stages: Sequence[StagePlan], here: Machine) -> str:
    """The plan for programs, in bytes."""
    found = {
        "model": params.model,
        "recipe": params.recipe,
        "parameters": model.parameters,
        "stages": [
            {
                "stage": stage.stage,
                "cells": stage.cells,
                **asdict(stage.needs),
                "memory": memory(stage.needs, here),
                "fits": lacking(stage.needs, here) is None,
            }
            for stage in stages
        ],
        "machine": asdict(here),
        "disk": disk_needed(stages),
        "short": shortfall(stages, here),
    }
    return json.dumps(found, indent=2)


def as_text(params: Params, model: Architecture, stages: Sequence[StagePlan], here: Machine) -> str:
    """A table in GB (10^9 bytes), and below it what this machine has."""
    entry = params.models[params.model]
    packed = "" if entry.quantise == "none" else f", {entry.quantise}"
    title = (
        f"{params.model}: {model.parameters:,} parameters in {entry.dtype}{packed}; "
        f"recipe {params.recipe}"
    )
    head = "".join(f"{name:>{width}}" for name, width in COLUMNS.items())
    lines = [title, "", f"{'stage':<21}{'':>4}{head}"]
    for stage in stages:
        cells = f"x{stage.cells}" if stage.cells > 1 else ""
        figures = {**asdict(stage.needs), "memory": memory(stage.needs, here)}
        row = "".join(f"{_gb(figures[name]):>{width}}" for name, width in COLUMNS.items())
        lines.append(f"{stage.stage:<21}{cells:>4}{row}")
    gpu = f"{here.device.free / GB:.1f} GB {here.device.where}" if here.has_gpu else "no GPU"
    lines += [
        "",
        f"GB a process; {RUNTIME / GB:.1f} of memory are libraries, what is kept is in RAM always",
        f"on disk: {disk_needed(stages) / GB:.1f} GB; outputs once more in DVC's cache where links "
        "cannot share them",
        f"free here: {gpu}, {here.ram / GB:.1f} GB of RAM, {here.disk / GB:.1f} GB of disk",
    ]
    large = [stage.stage for stage in stages if lacking(stage.needs, here)]
    return "\n".join([*lines, f"too large for here: {', '.join(large) or 'nothing'}"])


def _gb(size: int) -> str:
    if not size:
        return "-"
    return f"{size / GB:.1f}" if size >= 10 * GB else f"{size / GB:.2f}"
