"""The vectors that a comparison looks at: the one that was chosen, and the study's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Choice:
    """A vector that is looked at: position, method, its layer, and all the layers looked at."""

    position: str
    method: str
    layer: int
    layers: list[int]

    @property
    def key(self) -> str:
        """Its name in a vector file."""
        return f"{self.position}/{self.method}"


def choices(
    chosen: Mapping[str, Any],
    study_position: str,
    study_method: str,
    tensors: Mapping[str, torch.Tensor],
) -> dict[str, Choice]:
    """The vector that cross-validation chose, at every layer, and the study's own at its layer.

    `tensors` are a trait's activations or vectors, `[..., layer, hidden]`, under their position or
    `position/method`. A trait that lacks the study's position (one given as answers has no
    prompt) has no study's choice.
    """
    layers = next(iter(tensors.values())).shape[-2]
    found = {
        "chosen": Choice(chosen["position"], chosen["method"], chosen["layer"], [*range(layers)])
    }
    if study_position in {name.partition("/")[0] for name in tensors}:
        middle = layers // 2
        found["study"] = Choice(study_position, study_method, middle, [middle])
    return found
