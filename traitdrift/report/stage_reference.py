"""docs/stages.md: what every stage reads, is told and writes, by dvc.yaml and its own module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from traitdrift.core.config import load
from traitdrift.provenance.closure import is_code

HEAD = """# Stages

Each stage is one recipe in `stages/`, a screen long: it reads its inputs, calls the library, writes
its outputs. `dvc repro` runs what has changed, `dvc repro NAME` what leads to one stage,
`dvc stage list` names all. A stage with `@` has a cell for each variant, data set or adapter
(`dvc repro finetune@insecure`). The order is that of the data. *Heavy* stages run a model; `LAUNCH`
says [what starts them](running.md#what-is-no-parameter). A stage also depends on exactly the code
that it imports, which is not listed here.

This page is written by `python -m traitdrift pages` from `dvc.yaml` and the stages' own words."""
# What a cell of `foreach: ${...}` is called.
CELLS = {
    **{"datasets": "data set", "hub": "data set", "imported": "adapter"},
    **{"finetunes": "fine-tune", "trajectories": "fine-tune"},
}


def stages(root: Path) -> str:
    """The page of the dvc.yaml below `root`."""
    return "\n\n".join([HEAD, *(_stage(root, *one) for one in _all(root))]) + "\n"


def _all(root: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from load(root / "dvc.yaml")["stages"].items()


def _stage(root: Path, name: str, stage: Mapping[str, Any]) -> str:
    body = stage.get("do", stage)
    cell = ""
    if "foreach" in stage:
        cell = CELLS.get(stage["foreach"][2:-1], "variant")
    elif "matrix" in stage:
        cell = "-".join(stage["matrix"])

    def written(text: str) -> str:
        text = text.replace("${item.file}", "${datasets.<data set>.file}")
        text = text.replace("${item.dataset}", "<its data set>")
        text = re.sub(r"\$\{item\.(\w+)\}", r"<\1>", text)
        return re.sub(r"\$\{(item|key)\}", f"<{cell}>", text)

    told = ast.get_docstring(ast.parse((root / "stages" / f"{name}.py").read_text("utf-8"))) or ""
    more = told.partition("\n\n")[2]
    title = f"`{name}@<{cell}>`: " if cell else ""
    heavy = " *Heavy.*" if "LAUNCH" in body["cmd"] else ""
    lines = [f"## {name}", f"{title}{body['desc']}.{heavy}", *([more] if more else [])]
    reads = [path for path in _paths(body.get("deps", [])) if not is_code(path)]
    writes = _paths([*body["outs"], *body.get("plots", [])])
    facts = {"reads": reads, "parameters": body.get("params", []), "writes": writes}
    lines.append(
        "\n".join(
            f"- {what} {', '.join(f'`{written(one)}`' for one in several)}"
            for what, several in facts.items()
            if several
        )
    )
    return "\n\n".join(lines)


def _paths(entries: list[Any]) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, Mapping) else entry for entry in entries]
