"""Files of folders that were made elsewhere: inside their folder, regular, of a bounded size."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from traitdrift.core.strict_json import json_object_of

# Bytes: the largest tokenizer.json of a known model has 33 MB.
LARGEST = 256 * 1024 * 1024
LARGEST_SETTINGS = 16 * 1024 * 1024


def inside(folder: Path, name: str) -> Path:
    """A file of a folder that comes in, by its plain name.

    Links that lead out of the folder are refused; those of a hub's cache lead to its blobs,
    beside its snapshots. Raises ValueError for those, and as `named` does.
    """
    found, real = _followed(folder, name), folder.resolve()
    # Of a hub's cache the blobs and nothing else: a folder of any name may lie in `snapshots`.
    roots = [real, real.parent.parent / "blobs"] if real.parent.name == "snapshots" else [real]
    if not any(map(found.is_relative_to, roots)):
        raise ValueError(
            f"{folder / name}: a link to a file outside the folder; put the file itself there, or "
            "remove it"
        )
    return named(folder, name)


def named(folder: Path, name: str) -> Path:
    """A file of a folder, by its plain name; in an output it may be a link into DVC's cache.

    Raises ValueError for a name that leaves the folder, and for what is no regular file.
    """
    path = folder / name
    if not stat.S_ISREG(_followed(folder, name).stat().st_mode):
        raise ValueError(f"{path}: not a regular file; remove it")
    return path


def _followed(folder: Path, name: str) -> Path:
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise ValueError(f"{folder}: {name[:80]!r} is no name of a file in this folder; mend it")
    path = folder / name
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise ValueError(f"{path}: missing, or a link that leads nowhere; complete the folder")


def small(path: Path, largest: int = LARGEST) -> Path:
    """The path of a file that is no larger than that; else a ValueError."""
    size = path.stat().st_size
    if size > largest:
        raise ValueError(f"{path}: {size} bytes, more than {largest}; fetch it again")
    return path


def json_object(path: Path) -> dict[str, Any]:
    """A JSON object that describes a model or an adapter.

    Raises ValueError with the file's name, as `json_object_of` does.
    """
    small(path, LARGEST_SETTINGS)
    try:
        return json_object_of(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}; fetch it again")
