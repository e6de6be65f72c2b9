"""trait-drift: what did this fine-tune do to the model?

Outside the pipeline: `from traitdrift import load_vectors, project, steer`.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load_vectors", "project", "steer"]


def __getattr__(name: str) -> Any:
    # Only when asked for: a stage that needs no torch must not import it by importing the package.
    if name in __all__:
        return getattr(importlib.import_module("traitdrift.portable"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
