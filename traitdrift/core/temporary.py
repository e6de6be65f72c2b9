"""A temporary folder, for what is worth nothing once its stage has ended."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traitdrift.core.scratch import SCRATCH


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that lives as long as the block, below TRAITDRIFT_SCRATCH where that is set."""
    above = os.environ.get(SCRATCH)
    if above:
        Path(above).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="traitdrift-", dir=above) as folder:
        yield Path(folder)
