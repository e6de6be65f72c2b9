"""Directions that mean nothing: draws from the unit sphere."""

from __future__ import annotations

import numpy as np


def unit_vectors(count: int, width: int, seed: int) -> np.ndarray:
    """Float64 unit vectors `[count, width]`, uniform: normal draws, scaled (Muller 1959)."""
    draw = np.random.default_rng(seed).standard_normal((count, width))
    return draw / np.linalg.norm(draw, axis=1, keepdims=True)
