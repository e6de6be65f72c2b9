"""data/trajectory/<variant>/projections.safetensors: the stream at each kept step of a fine-tune.

Under the name of a trait and a class stand float32 projections `[step, prompt]` of the validation
prompts on the trait's chosen vector, and beside them their mean stream `[step, hidden]`, float64:
early shifts are small beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from traitdrift.core.files import load_tensors, save_tensors
from traitdrift.inference.hooks import HOOK_POINT

if TYPE_CHECKING:
    from traitdrift.activations.along import ChosenVector, Seen


def _key(trait: str, label: str) -> str:
    return f"{trait}/{label}"


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class Along:
    """A fine-tune's streams by step, of which the first is 0: base."""

    tensors: Mapping[str, torch.Tensor]
    described: Mapping[str, Any]

    @property
    def steps(self) -> list[int]:
        return self.described["steps"]

    @property
    def chosen(self) -> dict[str, dict[str, Any]]:
        """The position, method and layer of each trait's vector."""
        return self.described["chosen"]

    def projections(self, trait: str, label: str) -> torch.Tensor:
        """`[step, prompt]`."""
        return self.tensors[_key(trait, label)]

    def mean(self, trait: str, label: str) -> torch.Tensor:
        """The mean stream `[step, hidden]` at the vector's position, after its layer."""
        return self.tensors[_key(trait, label) + ".mean"]


def save_along(
    path: Path,
    steps: Mapping[int, Mapping[tuple[str, str], Seen]],
    chosen: Mapping[str, ChosenVector],
    digests: Sequence[str | None],
    made: Mapping[str, Any],
) -> None:
    """Write what was seen after each step, by `(trait, class)`.

    `digests` are those of the adapters in the order of the steps, None for base; `made` names
    `variant`, `model` and `base_digest`.
    """
    tensors = {}
    for trait, label in next(iter(steps.values())):
        seen = [of_step[trait, label] for of_step in steps.values()]
        tensors[_key(trait, label)] = torch.stack([one.projections for one in seen])
        tensors[_key(trait, label) + ".mean"] = torch.stack([one.mean for one in seen])
    save_tensors(
        path,
        tensors,
        {
            "kind": "trajectory",
            "shape": ["step", "prompt"],
            "mean_shape": ["step", "hidden"],
            "steps": list(steps),
            "adapter_digests": list(digests),
            "prompts": "validation",
            "chosen": {
                trait: {key: getattr(one, key) for key in ("position", "method", "layer")}
                for trait, one in chosen.items()
            },
            "norm": "unit",
            "hook_point": HOOK_POINT,
            "layer_origin": 0,
            "dtype": {"projections": "float32", "mean": "float64"},
            **made,
        },
    )


def read_along(path: Path) -> Along:
    return Along(*load_tensors(path))
