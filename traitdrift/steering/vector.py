"""The vector that a sweep steers with, out of a trait's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from traitdrift.steering.settings import Steer
from traitdrift.vectors.file import read_vectors

if TYPE_CHECKING:
    import torch


def steering_vector(
    folder: Path, settings: Steer, base_digest: str
) -> tuple[torch.Tensor, int, float]:
    """The unit vector `[hidden]`, its layer (by default the middle one), and a coefficient's unit.

    That is the mean norm of base's stream in the layer, on the trait's training prompts. `folder`
    holds a file a trait. Raises ValueError for a trait, layer or base that is not the file's.
    """
    path = folder / f"{settings.trait}.safetensors"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.safetensors")))
        raise ValueError(f"{path}: no vectors of {settings.trait!r}; steer.trait is one of {known}")
    file = read_vectors(path)
    if file.base_digest != base_digest:
        raise ValueError(
            f"{path}: of a base of digest {file.base_digest[:12]}, but models/base has "
            f"{base_digest[:12]}; run `dvc repro`"
        )
    vectors, norm = file.vectors(settings.position, settings.method), file.norm(settings.position)
    layer = len(vectors) // 2 if settings.layer is None else settings.layer
    if layer >= len(vectors):
        raise ValueError(f"steer.layer: {layer}: {path} has layers 0 to {len(vectors) - 1}")
    if norm is None:
        raise ValueError(f"{path}: no mean norm of base's stream in it; run `dvc repro vectors`")
    return vectors[layer], layer, norm[layer].item()
