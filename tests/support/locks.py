"""The stages of a lock as they would be recorded had they just run on the files that are there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from traitdrift.provenance.lockfile import File, Step, holds


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def digest(root: Path, path: str, inside: Sequence[str]) -> str:
    """The digest of a file or of a folder with the files `inside`, by DVC's own code."""
    if list(inside) == [path]:
        return md5(root / path)
    tree = Tree()
    for name in inside:
        key = Path(name).relative_to(path).parts
        tree.add(key, None, HashInfo("md5", md5(root / name)))
    tree.digest()
    return tree.hash_info.value


def in_step(steps: dict[str, Step], root: Path, held: Sequence[str]) -> dict[str, Step]:
    """The stages with the digests that the paths `held` have under `root`."""

    def now(file: File) -> File:
        inside = [path for path in held if holds(file.path, path)]
        known = {"digest": digest(root, file.path, inside)} if inside else {}
        return file.model_copy(update=known)

    return {
        name: step.model_copy(
            update={"reads": [*map(now, step.reads)], "writes": [*map(now, step.writes)]}
        )
        for name, step in steps.items()
    }
