"""trait-drift: what did this fine-tune do to the model?

Outside the pipeline: `from traitdrift import load_vectors, project, steer`.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load_vectors", "project", "steer"]

HOME = {
    "load_vectors": "traitdrift.vectors.file",
    "project": "traitdrift.interop.api",
    "steer": "traitdrift.interop.api",
}


def __getattr__(name: str) -> Any:
    # Only when asked for: a stage that needs no torch must not import it by importing the package.
    if name in HOME:
        return getattr(importlib.import_module(HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
