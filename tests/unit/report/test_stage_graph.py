"""The drawing of the stages: whatever the graph, boxes lie apart and arrows point down."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from traitdrift.provenance.lockfile import File, Step
from traitdrift.report.stage_graph import (
    HEIGHT,
    WIDTH,
    behind,
    current,
    drawing,
    read_by,
    stage_name,
)


def step(name: str, reads: list[str], writes: list[str]) -> Step:
    def files(paths: list[str]) -> list[File]:
        return [File(path=path, digest="d", size=1) for path in paths]

    return Step(name=name, command=name, reads=files(reads), params={}, writes=files(writes))


def graph(**reads: str) -> dict[str, Step]:
    """Stages by name, each writing `out/<name>` and reading what the named others wrote."""
    return {
        name: step(name, [f"out/{other}" for other in others.split()], [f"out/{name}"])
        for name, others in reads.items()
    }


GRAPHS = {
    "one": graph(a=""),
    "chain": graph(a="", b="a", c="b"),
    "implied": graph(a="", b="a", c="a b"),
    "wide": graph(a="", **{f"b{i}": "a" for i in range(9)}, z="b0 b8"),
    "long": graph(a="", b="a", c="b", d="c", e="d", x="a", z="e x a"),
    "apart": graph(a="", b="a", y="", z="y"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_lie_apart_and_readers_below_those_they_read(name: str):
    steps = GRAPHS[name]
    drawn = drawing(steps)
    place = {node.name: (node.x, node.y) for node in drawn.nodes}
    assert set(place) == set(steps)
    for (ax, ay), (bx, by) in combinations(place.values(), 2):
        assert abs(ax - bx) >= WIDTH or abs(ay - by) >= HEIGHT
    for source, target in read_by(steps).edges:
        assert place[source][1] < place[target][1]
    for x, y in place.values():
        assert WIDTH / 2 <= x <= drawn.width - WIDTH / 2
        assert HEIGHT / 2 <= y <= drawn.height - HEIGHT / 2


def test_an_arrow_past_other_rows_passes_beside_their_boxes():
    drawn = drawing(GRAPHS["long"])
    boxes = [(node.x, node.y) for node in drawn.nodes]
    for arrow in drawn.arrows:
        points = [tuple(map(float, p)) for p in re.findall(r"(-?[\d.]+),(-?[\d.]+)", arrow)]
        for x, y in points[3:-1:3]:  # where the arrow crosses a row between
            assert all(abs(x - bx) > WIDTH / 2 or abs(y - by) > HEIGHT / 2 for bx, by in boxes)


def test_an_implied_arrow_is_left_out():
    assert len(drawing(GRAPHS["implied"]).arrows) == 2


def test_cells_are_one_box():
    steps = {
        "a": step("a", [], ["out/a"]),
        **{f"b@{c}": step(f"b@{c}", ["out/a"], [f"out/b/{c}"]) for c in ("x", "y")},
        "c": step("c", ["out/b"], ["out/c"]),
    }
    drawn = drawing(steps)
    assert {n.name: n.steps for n in drawn.nodes} == {"a": ["a"], "b": ["b@x", "b@y"], "c": ["c"]}
    assert stage_name("b@x") == "b"


def test_cells_that_dvc_yaml_no_longer_makes_are_left_out():
    names = ["one", "each@x", "each@gone", "pair@x-y", "pair@x-gone", "gone"]
    steps = {name: step(name, [], [name]) for name in names}
    stages = {
        "one": {"cmd": "one"},
        "each": {"foreach": "${variants}", "do": {}},
        "pair": {"matrix": {"one": "${variants}", "other": ["x", "y"]}, "cmd": "pair"},
    }
    assert list(current(steps, stages, {"variants": ["x", "y"]})) == ["each@x", "one", "pair@x-y"]


def test_what_no_stage_makes_has_nothing_behind_it():
    steps = GRAPHS["chain"]
    assert list(behind(steps, ["out/b", "README.md"])) == ["a", "b"]
