"""What long work has finished, kept for the next that needs the same.

DVC removes a stage's outputs before it runs the command, so this lies outside of them, named by
everything that it depends on. Interrupted work goes on from there; where a prompt set or a question
was added, only that is computed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from traitdrift.core.files import load_tensors, save_tensors, text_digest, write_text
from traitdrift.core.ranks import is_main
from traitdrift.core.surroundings import loaded_code, surroundings

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# The folder; it may be removed at any time when no stage runs.
SCRATCH = "TRAITDRIFT_SCRATCH"
# How much of finished parts stays when a stage has succeeded, the least recently used go first.
KEEP = "TRAITDRIFT_KEEP_GB"
KEPT_GB = "5"


class Parts:
    """Finished parts, each in a file that is named by what it is made of; without a folder, none.

    `made_of` is what JSON can hold, dataclasses and tensors. A file that is not as it was written
    does not count.
    """

    def __init__(self, folder: Path | None = None, *made_of: Any):
        self.folder, self.made_of = folder, made_of

    def within(self, *made_of: Any) -> Parts:
        """Parts that are made of this, too."""
        return Parts(self.folder, *self.made_of, *made_of)

    def tensors(
        self, made_of: Any, make: Callable[[], dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The tensors that are made of this: as they were kept, or made and kept now."""
        if self.folder is None:
            return make()
        path = self.folder / f"{digest([*self.made_of, made_of])}.safetensors"
        with suppress(FileNotFoundError, ValueError):
            tensors, described = load_tensors(path)
            if described.get("digest") == digest(tensors):
                os.utime(path)
                return tensors
        made = make()
        save_tensors(path, made, {"digest": digest(made)})
        return made

    def values(self, made_of: Any, make: Callable[[], T]) -> T:
        """The same of what JSON can hold, infinities and NaN as well."""
        if self.folder is None:
            return make()
        path = self.folder / f"{digest([*self.made_of, made_of])}.json"
        with suppress(FileNotFoundError, ValueError):
            found, _, text = path.read_text(encoding="utf-8").partition("\n")
            if found == text_digest([text]):
                os.utime(path)
                kept: T = json.loads(text)
                return kept
        made = make()
        text = json.dumps(made)
        write_text(path, f"{text_digest([text])}\n{text}")
        return made


@contextmanager
def finished_parts(*made_of: Any) -> Iterator[Parts]:
    """The parts of a stage whose result depends on `made_of`, on the code that is loaded and on
    what else bytes depend on (`surroundings`).

    Once the block has succeeded, the least recently used of all parts go until they take no more
    room than `TRAITDRIFT_KEEP_GB` says.
    """
    limit = kept_bytes()
    yield Parts(folder() / "parts", *made_of, loaded_code(), surroundings())
    if is_main():
        forget(limit)


@contextmanager
def checkpoints(*made_of: Any) -> Iterator[Path]:
    """A folder of unfinished work that depends on the same; gone once the block has succeeded."""
    unfinished = folder() / digest([*made_of, loaded_code(), surroundings()])
    yield unfinished
    if is_main():
        shutil.rmtree(unfinished, ignore_errors=True)


def folder() -> Path:
    """Where all this lies."""
    return Path(os.environ.get(SCRATCH, ".scratch"))


def kept_bytes() -> int:
    """The room that finished parts may take; ValueError if the environment gives no number."""
    given = os.environ.get(KEEP, KEPT_GB)
    try:
        limit = float(given)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise ValueError(f"{KEEP}={given!r}: give a number of gigabytes, 0 to keep nothing")
    return int(limit * 1e9)


def forget(limit: int = 0) -> int:
    """Remove the least recently used parts beyond so many bytes; how many bytes that were."""
    parts = sorted(_sizes(folder() / "parts"))
    room = sum(size for _, size, _ in parts)
    removed = 0
    for _, size, path in parts:
        if room - removed <= limit:
            break
        path.unlink(missing_ok=True)
        removed += size
    return removed


def _sizes(parts: Path) -> Iterator[tuple[int, int, Path]]:
    for path in parts.glob("*"):
        with suppress(FileNotFoundError):  # another stage removes as well
            found = path.stat()
            yield found.st_mtime_ns, found.st_size, path


def digest(made_of: Any) -> str:
    """A name of what JSON can hold, dataclasses and tensors."""
    text = json.dumps(made_of, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def plain(value: Any) -> Any:
    """A dataclass as its fields; a tensor as its dtype, shape and the digest of its bytes."""
    if is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    import torch

    bits = value.detach().cpu().contiguous().flatten().view(torch.uint8)
    found = hashlib.sha256(bits.numpy().data).hexdigest()
    return [str(value.dtype), list(value.shape), found]
