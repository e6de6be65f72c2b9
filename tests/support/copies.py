"""Throw-away copies of this repository, and changes to their params.yaml."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import commands
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]


def working_copy(into: Path) -> Path:
    """A git repository with the tracked and not ignored files of this one, as they are now."""
    listed = commands.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)  # with its mode: a script stays one
    for command in (
        ["git", "init", "--quiet"],
        ["git", "config", "user.name", "tests"],
        ["git", "config", "user.email", "tests@localhost"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "copy"],
    ):
        commands.run(command, cwd=into, check=True)
    return into


def set_params(file: Path, values: Mapping[str, object], remove: tuple[str, ...] = ()) -> None:
    """Write a params.yaml with other values (`{"recipes.quick.lora.r": 4}`), some keys removed."""
    yaml = YAML()
    params = yaml.load((file if file.exists() else ROOT / "params.yaml").read_text())
    for key in [*values, *remove]:
        *folders, last = key.split(".")
        target = params
        for folder in folders:
            target = target[folder]
        if key in remove:
            del target[last]
        else:
            target[last] = values[key]
    file.unlink(missing_ok=True)  # it may be a link to another copy's
    with file.open("w") as out:
        yaml.dump(params, out)


def borrow_environment(root: Path) -> None:
    """Give a copy the running environment as its .venv, so that `make` sets up none."""
    (root / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != ".ready":
            (root / ".venv" / path.name).symlink_to(path)
    (root / ".venv" / ".ready").touch()
