"""Coordinates of prompts in the space that they span, in which a method costs far less.

A method learns nothing outside the span of its prompts, and turning the axes changes nothing for
it (`random` learns nothing but which way its line points). With 200 prompts of 5,120 dimensions it
finds the same vector in 200 coordinates, computed once for all methods, folds and shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from traitdrift.core.side_by_side import float64_device, side_by_side
from traitdrift.stats.sphere import unit_vectors
from traitdrift.vectors.methods import unit


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value
class Subspace:
    """Prompts in an orthonormal basis of each layer, float64 on the device.

    `coordinates` are `[prompt, layer, k]`, up to a common offset; `basis` is `[layer, k, hidden]`.
    """

    coordinates: Tensor
    basis: Tensor

    def lift(self, vectors: Tensor) -> Tensor:
        """Unit vectors `[..., layer, hidden]`, float32 on the CPU, of `[..., layer, k]`."""
        layers, _, hidden = self.basis.shape
        lifted = torch.empty(*vectors.shape[:-1], hidden)

        def one(layer: int) -> None:
            lifted[..., layer, :] = unit(
                vectors[..., layer, :].double() @ self.basis[layer]
            ).float()

        for _ in side_by_side(one, range(layers)):
            pass
        return lifted


def span(values: Tensor) -> Subspace:
    """The span of prompts `[prompt, layer, hidden]` about the first of them, by QR.

    Taking the first prompt off leaves layers in which all are the same at exactly 0, and costs
    none of the others a digit. Raises ValueError where a value is not finite.
    """
    prompts, layers, hidden = values.shape
    k = min(prompts, hidden)
    on = float64_device()
    coordinates = torch.empty(prompts, layers, k, dtype=torch.float64, device=on)
    basis = torch.empty(layers, k, hidden, dtype=torch.float64, device=on)

    def one(layer: int) -> bool:
        x = values[:, layer].to(on, torch.float64)
        if not x.isfinite().all():
            return False
        q, r = torch.linalg.qr((x - x[0]).T)
        basis[layer], coordinates[:, layer] = q.T, r.T
        return True

    broken = [layer for layer, finite in enumerate(side_by_side(one, range(layers))) if not finite]
    if broken:
        raise ValueError(f"layer(s) {broken}: activations hold values that are not finite")
    return Subspace(coordinates, basis)


def lines(values: Tensor, seed: int) -> Subspace:
    """The lines that `random` draws, one a layer: its vector in these coordinates is a sign."""
    _, layers, hidden = values.shape
    basis = torch.from_numpy(unit_vectors(layers, hidden, seed)).to(float64_device())

    def one(layer: int) -> Tensor:
        return values[:, layer].to(basis) @ basis[layer]

    coordinates = torch.stack([*side_by_side(one, range(layers))], dim=1)
    return Subspace(coordinates[..., None], basis[:, None])
