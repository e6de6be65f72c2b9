"""The plan of the house: a room imports lower rooms only, and no two modules import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import networkx
import pytest

from traitdrift.provenance.closure import imported

ROOT = Path(__file__).resolve().parents[2]
# From the ground up; rooms of one floor do not know each other.
FLOORS = (
    {"core"},
    {"models", "stats", "inference", "provenance", "endpoint"},
    {"vectors", "data", "training", "sources", "generation", "activations", "behaviour"},
    {"comparison", "steering", "judge"},
    {"interop", "params"},
    {"cluster", "planning", "report"},
    {"cli"},
    {"__main__"},
)
MODULES = [
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "traitdrift").rglob("*.py"))
    if path.name != "__init__.py"
]


def room(file: str) -> str:
    parts = Path(file).with_suffix("").parts
    return parts[1]


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def used(file: str) -> set[str]:
    """Modules of the library that a file imports, `__init__.py` aside, which hold a docstring."""
    return {one for one in imported(ROOT, file) if not one.endswith("__init__.py")}


@pytest.mark.parametrize("file", MODULES)
def test_a_room_imports_lower_rooms_only(file: str):
    here = room(file)
    for other in map(room, used(file)):
        assert other == here or floor(other) < floor(here), f"{here} knows {other}"


def test_no_two_modules_import_each_other_by_any_way():
    graph = networkx.DiGraph([(file, other) for file in MODULES for other in used(file)])
    assert list(networkx.simple_cycles(graph)) == []


@pytest.mark.parametrize("name", sorted({room(file) for file in MODULES if file.count("/") > 1}))
def test_a_room_says_what_lives_there_and_imports_nothing(name: str):
    """A re-export would widen the closure of every stage that uses one of its modules."""
    tree = ast.parse((ROOT / f"traitdrift/{name}/__init__.py").read_text())
    assert len(tree.body) == 1
    assert len((ast.get_docstring(tree) or "").split("\n\n")) == 2


def test_no_stage_but_the_report_imports_the_whole_of_params():
    users = {
        path.stem
        for path in (ROOT / "stages").glob("*.py")
        if "traitdrift/params.py" in imported(ROOT, f"stages/{path.name}")
    }
    assert users == {"report"}
