"""Vectors from shuffled labels are what the method makes of each shuffle alone."""

from __future__ import annotations

import pytest
import torch

from traitdrift.vectors import shuffles
from traitdrift.vectors.methods import METHODS, MethodSettings
from traitdrift.vectors.null_settings import Nulls


@pytest.mark.parametrize("method", ["mean_diff", "probe", "gradient", "pca_diff"])
def test_shuffles_side_by_side_are_shuffles_alone(method: str, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(24, 3, 8, generator=generator)
    settings, knobs = Nulls(count=20, seed=3), MethodSettings()
    advanced = []

    def made() -> torch.Tensor:
        return shuffles.permuted_vectors(
            values, 12, METHODS[method], knobs, settings, advanced.append
        )

    together = made()
    monkeypatch.setattr(shuffles, "SIDE_BY_SIDE", 1)
    alone = made()
    assert sum(advanced) == 40 and together.shape == (20, 3, 8)
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=0)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(20, 3))
