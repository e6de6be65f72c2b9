"""Vectors that mean nothing, for a trait's vector to beat, and their file, models/nulls/<trait>.

`random` are isotropic unit vectors, one set for every layer. Under the name of a choice stand
vectors made as the trait's own were, from training prompts whose class labels were shuffled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from traitdrift.core.files import load_tensors, save_tensors
from traitdrift.stats.sphere import unit_vectors

if TYPE_CHECKING:
    from traitdrift.vectors.choice import Choice
    from traitdrift.vectors.null_settings import Nulls

RANDOM = "random"


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class NullVectors:
    """Float32 unit vectors: `random` `[null, hidden]`, `permuted` `[null, layer, hidden]`."""

    random: torch.Tensor
    permuted: torch.Tensor

    def by_layer(self) -> dict[str, torch.Tensor]:
        """Both kinds `[null, layer, hidden]` by name; a random vector is that of every layer."""
        layers = self.permuted.shape[1]
        return {"random": self.random[:, None].expand(-1, layers, -1), "permuted": self.permuted}


def read_nulls(path: Path, choice: str) -> NullVectors:
    """The nulls beside a choice of a trait's vector."""
    tensors, _ = load_tensors(path)
    return NullVectors(tensors[RANDOM], tensors[choice])


def save_nulls(
    path: Path,
    hidden: int,
    permuted: Mapping[str, torch.Tensor],
    choices: Mapping[str, Choice],
    settings: Nulls,
    base_digest: str,
) -> None:
    """Write random vectors and, by choice, those of shuffled labels `[null, layer, hidden]`."""
    random = torch.from_numpy(unit_vectors(settings.count, hidden, settings.seed)).float()
    save_tensors(
        path,
        {RANDOM: random, **permuted},
        {
            "kind": "nulls",
            "shape": ["null", "layer", "hidden"],
            "trait": path.stem,
            "norm": "unit",
            "layers": {name: choice.layers for name, choice in choices.items()},
            "settings": settings.model_dump(),
            "base_digest": base_digest,
            "dtype": "float32",
        },
    )
