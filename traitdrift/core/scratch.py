"""What a long stage has finished, kept until all of it is: interrupted work goes on from there.

DVC removes a stage's outputs before it runs the command, so the parts lie in a folder of their own,
named by everything that they depend on: whatever differs begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from traitdrift.core.files import load_tensors, read_json, save_tensors, write_text
from traitdrift.core.ranks import is_main
from traitdrift.core.surroundings import loaded_code, surroundings

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# The folder; it may be removed at any time when no stage runs.
SCRATCH = "TRAITDRIFT_SCRATCH"


class Parts:
    """Finished parts by name, in a folder; without one nothing is kept."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder

    def within(self, name: str) -> Parts:
        """The parts of one among several pieces of work."""
        return Parts(self.folder and self.folder / name)

    def tensors(
        self, name: str, make: Callable[[], dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The tensors of that name: as they were kept, or made and kept now."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            save_tensors(path, made := make(), {})
            return made
        return load_tensors(path)[0]

    def values(self, name: str, make: Callable[[], T]) -> T:
        """What JSON can hold, infinities and NaN as well: as it was kept, or made and kept now."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.json"
        if not path.exists():
            write_text(path, json.dumps(made := make()))
            return made
        return read_json(path)


@contextmanager
def resumable(stage: str, *made_of: Any) -> Iterator[Parts]:
    """A stage's finished parts; gone once the block has succeeded.

    `made_of` is what the stage's result depends on: what JSON can hold, dataclasses and tensors.
    The code that is loaded and what else bytes depend on (`surroundings`) are added to it.
    """
    around = [loaded_code(), surroundings()]
    text = json.dumps([made_of, *around], sort_keys=True, default=plain)
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    folder = Path(os.environ.get(SCRATCH, ".scratch")) / stage / digest[:32]
    yield Parts(folder)
    if is_main():
        shutil.rmtree(folder, ignore_errors=True)


def plain(value: Any) -> Any:
    """A dataclass or a tensor as JSON can hold it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.tolist()
