"""What dvc.lock records of files and parameters, held against itself and against the files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from traitdrift.provenance.lockfile import File, Step


def files(steps: Iterable[Step]) -> dict[str, File]:
    """Everything that stages read or wrote, by path.

    Raises ValueError where two of them saw different states of it.
    """
    return _agreed((file.path, file) for step in steps for file in [*step.reads, *step.writes])


def parameters(steps: Iterable[Step]) -> dict[str, Any]:
    """Every single value that stages read, by its dotted key; ValueError as for `files`."""
    return _agreed(pair for step in steps for pair in leaves(step.params))


def leaves(params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A stage's parameters down to the single value: `recipes.quick.lora.r`, 32."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{rest}", leaf) for rest, leaf in leaves(value))
        else:
            yield key, value


def _agreed(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            raise ValueError(f"{key}: two stages of dvc.lock saw it differ; run `dvc repro`")
    return found


def check(file: File, root: Path, inside: Sequence[str]) -> None:
    """Refuse a file, or the folder with the files `inside`, that is not what dvc.lock says."""
    missing = [path for path in inside if not (root / path).is_file()]
    if missing or not inside:
        raise ValueError(f"{[*missing, file.path][0]}: missing; `git checkout` or `dvc pull` it")
    if digest(root, file.path, inside) != file.digest:
        raise ValueError(f"{file.path}: not what dvc.lock says; run `dvc repro`")


def digest(root: Path, path: str, inside: Sequence[str]) -> str:
    """DVC's digest: of a file its MD5, of a folder the MD5 of the list of its files."""
    if list(inside) == [path]:
        return md5(root / path)
    names = {Path(one).relative_to(path).as_posix(): md5(root / one) for one in inside}
    listed = [{"md5": names[name], "relpath": name} for name in sorted(names)]
    text = json.dumps(listed, sort_keys=True).encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
