"""What is done to a running model, as far as tables tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Condition:
    """An intervention's name, its kind, and the coefficient and direction that it was given.

    - `none`: nothing;
    - `add`: `coefficient` times a vector is added after one block (activation addition, Turner
      et al. 2023, arXiv 2308.10248);
    - `ablate`: the component along a unit vector is removed after every block (directional
      ablation, Arditi et al. 2024, arXiv 2406.11717). Theirs also removes it from the embedding
      and between attention and MLP; here a block may still use what it wrote itself.
    """

    name: str
    kind: Literal["none", "add", "ablate"] = "none"
    coefficient: float = 0.0
    direction: str | None = field(default=None, kw_only=True)  # trait or random, of a sweep
