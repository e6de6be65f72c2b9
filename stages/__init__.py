"""The stages of dvc.yaml: `python -m stages.NAME [cell]` at the root of the repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from traitdrift.core.first_calls import settle_elementwise
from traitdrift.core.run_record import note
from traitdrift.core.text import printable


def run(recipe: Callable[..., None]) -> None:
    """Run a stage's recipe with the cells named on the command line.

    Wrong input is a ValueError or OSError: one line on stderr, signs that act on a terminal
    shown as escapes, and exit code 1. Set TRAITDRIFT_DEBUG=1 to see where it was raised.
    """
    cells = sys.argv[1:]
    module = recipe.__module__
    if module == "__main__":
        spec = sys.modules["__main__"].__spec__
        module = spec.name if spec else module
    name = module.rpartition(".")[2] + (f"@{'-'.join(cells)}" if cells else "")
    if "torch" in sys.modules:  # a stage that loads no tensor starts without it
        settle_elementwise()
    try:
        recipe(*cells)
    except (ValueError, OSError) as error:
        if os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        print(f"{name}: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None
    note()
