"""The code that a stage runs: every file of this repository that its module imports.

dvc.yaml lists it among the stage's `deps`, so that a stage runs again after a change of code that
it uses, and after no other. A folder stands for its files where the stage needs all of them.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from traitdrift.core.files import write_text

PACKAGES = ("stages", "traitdrift")


def imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import of a file that can be executed: not those for the type checker alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        waiting += ast.iter_child_nodes(node)


def imported(root: Path, file: str) -> set[str]:
    """Files of the repository at `root` that one of its files imports directly.

    A package's `__init__.py` counts, for Python runs it. Raises ValueError for a relative import.
    """
    names = set()
    for node in imports(root / file):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif node.level:
            raise ValueError(f"{file}:{node.lineno}: a relative import; name the module whole")
        else:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] not in PACKAGES:
            continue
        for length in range(1, len(parts) + 1):
            place = "/".join(parts[:length])
            found |= {f"{place}.py", f"{place}/__init__.py"}
    return {file for file in found if (root / file).exists()}


def closure(root: Path, file: str) -> set[str]:
    """A file and all that it imports, directly or not."""
    done: set[str] = set()
    waiting = {file}
    while waiting:
        one = waiting.pop()
        done.add(one)
        waiting |= imported(root, one) - done
    return done


def code_of(root: Path, stage: str) -> list[str]:
    """The code among a stage's `deps`: files, or a folder all of whose files it needs."""
    needed = closure(root, f"stages/{stage}.py") | {"stages/__init__.py"}
    folders = {str(Path(file).parent) for file in needed}
    whole = {
        folder
        for folder in folders
        if {str(f.relative_to(root)) for f in (root / folder).rglob("*.py")} <= needed
    }
    return sorted({*whole, *(file for file in needed if str(Path(file).parent) not in whole)})


def is_code(dep: str) -> bool:
    """Whether a path among `deps` lies in the code's folders."""
    return Path(dep).parts[0] in PACKAGES


def is_source(path: str) -> bool:
    """Whether what a stage reads is code, of this repository's packages or another's."""
    return path.endswith(".py") or is_code(path)


def tells_of_all(deps: list[str]) -> bool:
    """Whether a stage depends on all code: what it writes tells how everything was made."""
    return set(PACKAGES) <= set(deps)


def write_deps(root: Path) -> list[str]:
    """Give every stage of dvc.yaml the code that it runs as its `deps`; the stages that changed.

    All else in the file stays as it is, comments too.
    """
    path, yaml = root / "dvc.yaml", YAML()
    yaml.width = 4096  # no line is broken
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    pipeline: Any = yaml.load(path.read_text(encoding="utf-8"))
    changed = []
    for name, stage in pipeline["stages"].items():
        body = stage.get("do", stage)
        deps = list(body["deps"])
        if tells_of_all(deps):
            continue
        settled = sorted([*(d for d in deps if not is_code(d)), *code_of(root, name)])
        if settled != deps:
            body["deps"][:] = settled
            changed.append(name)
    if changed:
        text = io.StringIO()
        yaml.dump(pipeline, text)
        write_text(path, text.getvalue())
    return changed
