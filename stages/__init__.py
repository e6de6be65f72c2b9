"""The stages of dvc.yaml: `python -m stages.NAME [cell]` at the root of the repository."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable

from traitdrift.core.allocation import keep_freed_memory
from traitdrift.core.complaints import one_line
from traitdrift.core.ending import Ended, Ending
from traitdrift.core.first_calls import settle_elementwise
from traitdrift.core.ranks import is_main
from traitdrift.core.run_record import note
from traitdrift.core.text import printable
from traitdrift.core.wide_products import widen_products

# DVC tells a command by this variable which stage it is, `dataset@insecure`. The cell is taken from
# there and stands in no command of dvc.yaml, for a command is a text that a shell reads, and a key
# of params.yaml may be any text: in a variable it is never more than a text.
STAGE = "DVC_STAGE"
CELL = re.compile(r"[a-z0-9_]+")


def run(recipe: Callable[..., None]) -> None:
    """Run a stage's recipe with the cells named on the command line, or else by DVC.

    Wrong input is a ValueError or OSError: one line on stderr, signs that act on a terminal
    shown as escapes, and exit code 1; so is a full disk, by whatever name it comes. Set
    TRAITDRIFT_DEBUG=1 to see where it was raised. A signal that ends the stage is one line too,
    and exit code 128 and its number.
    """
    module = recipe.__module__
    if module == "__main__":
        spec = sys.modules["__main__"].__spec__
        module = spec.name if spec else module
    stage = module.rpartition(".")[2]
    wanted = [*inspect.signature(recipe).parameters]
    cells = cells_of(stage) if wanted else sys.argv[1:]
    if "torch" in sys.modules:  # a stage that loads no tensor starts without it
        keep_freed_memory()
        settle_elementwise()
        widen_products()
    try:
        if _ending:
            _ending.at_work = True
        refuse_other_cells(cells, wanted)
        recipe(*cells)
        note()
    except Exception as error:
        line = one_line(error)
        if line is None or os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        say(stage, cells, line)
        raise SystemExit(1) from None
    except Ended as end:
        end.ending.tell()
        raise SystemExit(end.ending.code) from None
    finally:
        if _ending:
            _ending.at_work = False


def say(stage: str, cells: list[str], what: str) -> None:
    """The one line that a stage ends with."""
    name = stage + (f"@{'-'.join(cells)}" if cells else "")
    print(f"{printable(name)}: {printable(what)}", file=sys.stderr)


def cells_of(stage: str) -> list[str]:
    """The cells of the command line, or those that DVC's name of the running stage ends with."""
    # From a folder below the root, DVC puts the place of dvc.yaml and a colon before the name.
    told = re.fullmatch(rf"(?:.*dvc\.yaml:)?{stage}@(.*)", os.environ.get(STAGE, ""), re.DOTALL)
    if sys.argv[1:] or not told:
        return sys.argv[1:]
    cells = told[1].split("-")
    return cells if all(map(CELL.fullmatch, cells)) else [told[1]]


def refuse_other_cells(cells: list[str], wanted: list[str]) -> None:
    """Raise ValueError unless there is an id for each parameter of the recipe."""
    for cell in cells:
        if not CELL.fullmatch(cell):
            raise ValueError(
                f"{cell[:80]!r} is no id: only a-z, 0-9 and _ may be in one; mend params.yaml"
            )
    if len(cells) != len(wanted):
        shape, given = " ".join(wanted) or "nothing", " ".join(cells) or "nothing"
        raise ValueError(f"give {shape} after the stage's name, not {given}")


def _begin() -> Ending:
    """Before the libraries of a stage are imported, which takes seconds: its cell and its end."""
    # What stands before the stage's own arguments: `stages.NAME`, or `-umstages.NAME`.
    stage = sys.orig_argv[-len(sys.argv)].rpartition(".")[2]
    cells = cells_of(stage)
    try:
        refuse_other_cells(cells, cells)
    except ValueError as error:
        say(stage, cells, str(error))
        raise SystemExit(1) from None
    ending = Ending(lambda why: say(stage, cells, why) if is_main() else None)
    ending.arm()
    return ending


# Python has this in place of a program's name while it looks for `stages.NAME` of `-m stages.NAME`.
_ending = _begin() if sys.argv[0] == "-m" else None
