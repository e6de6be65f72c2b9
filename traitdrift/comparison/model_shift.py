"""The direction in which a fine-tune moved the model, and its file, models/shifts/<variant>.

Under each position stands the unit shift `[layer, hidden]`, beside it the shift's own norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from traitdrift.core.files import load_tensors, save_tensors

# Of the activations that a shift is made from, what their own file tells.
CARRIED = ("variant", "model", "base_digest", "adapter_digest", "hook_point", "layer_origin")


def model_shift(before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors `[layer, hidden]` from base to the variant, and norms `[layer]`, float32.

    The mean over questions of the variant's streams `[question, layer, hidden]` less base's on the
    same tokens. A model that has not moved has a vector of zeros, which has no cosine.
    """
    shift = (after.double() - before.double()).mean(0)
    norm = shift.norm(dim=-1, keepdim=True)
    return (shift / norm.clamp_min(1e-30)).float(), norm[:, 0].float()


def save_shifts(
    path: Path,
    shifts: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    activations: Mapping[str, Any],
) -> None:
    """Write unit shifts and norms by position; `activations` describes what they are made from."""
    tensors = {}
    for position, (unit, norm) in shifts.items():
        tensors[position] = unit
        tensors[f"{position}.norm"] = norm
    save_tensors(
        path,
        tensors,
        {
            "kind": "shift",
            "shape": ["layer", "hidden"],
            "norm": "unit; the shift's own norm beside it",
            "sign": "from base to the variant",
            "questions": activations["questions"],
            "dtype": "float32",
            **{key: activations[key] for key in CARRIED},
        },
    )


def read_shifts(path: Path) -> dict[str, torch.Tensor]:
    """A variant's unit shifts `[layer, hidden]` by position."""
    tensors, _ = load_tensors(path)
    return {name: tensor for name, tensor in tensors.items() if "." not in name}
