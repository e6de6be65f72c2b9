"""The stages behind a page: which of the lock's there still are, what each says, and a drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import networkx

from traitdrift.provenance.lockfile import Step, makers, upstream

WIDTH, HEIGHT = 124, 34  # of a stage's box, in pixels
BETWEEN = 18  # what lies in one row keeps this distance
DOWN = 74  # from the middle of a row to that of the next
SWEEPS = 24


@dataclass(frozen=True)
class Node:
    """A stage, its cells as the lock names them, and the middle of its box."""

    name: str
    steps: list[str]
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """Boxes, arrows as SVG paths, and the size of the whole, in pixels."""

    nodes: list[Node]
    arrows: list[str]
    width: float
    height: float


def stage_name(step: str) -> str:
    """The stage that a cell is of: `compare` for `compare@insecure`."""
    return step.partition("@")[0]


def current(
    steps: Mapping[str, Step], stages: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Step]:
    """The lock's steps without those of cells that dvc.yaml no longer makes.

    `stages` are those of dvc.yaml, `params` the values that its `foreach` and `matrix` name.
    """

    def cells(of: Any) -> list[str]:
        found = params[of[2:-1]] if isinstance(of, str) else of
        return [str(cell) for cell in found]

    names = set()
    for name, stage in stages.items():
        if "foreach" in stage:
            names |= {f"{name}@{cell}" for cell in cells(stage["foreach"])}
        elif "matrix" in stage:
            several = product(*(cells(of) for of in stage["matrix"].values()))
            names |= {f"{name}@{'-'.join(cell)}" for cell in several}
        else:
            names.add(name)
    # By name: the lock's own order is that in which they first ran, wherever that was.
    return {name: steps[name] for name in sorted(names & steps.keys())}


def behind(steps: Mapping[str, Step], paths: Iterable[str]) -> dict[str, Step]:
    """Every stage that had a part in these paths, as far as a stage makes them."""
    found: dict[str, Step] = {}
    for path in paths:
        if any(maker.name not in found for maker in makers(dict(steps), path)):
            found |= upstream(dict(steps), path)
    return found


def records(steps: Mapping[str, Step], stages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the page tells of each step: command, parameters, and files as [path, digest, size]."""
    shown = []
    for name, step in steps.items():
        stage = stages[stage_name(name)]
        reads, writes = (
            [[file.path, file.digest, file.size] for file in files]
            for files in (step.reads, step.writes)
        )
        shown.append(
            {
                "name": name,
                "about": stage.get("do", stage).get("desc", ""),
                "command": step.command,
                "params": step.params,
                "reads": reads,
                "writes": writes,
            }
        )
    return shown


def read_by(steps: Mapping[str, Step]) -> networkx.DiGraph:
    """An arrow from each stage to those that read what it wrote, its cells taken together."""
    graph = networkx.DiGraph()
    for step in steps.values():
        graph.add_node(stage_name(step.name))
    readers: dict[str, set[str]] = {}
    for step in steps.values():
        for file in step.reads:
            readers.setdefault(file.path, set()).add(stage_name(step.name))
    for path, names in readers.items():
        for maker in makers(dict(steps), path):
            graph.add_edges_from((stage_name(maker.name), name) for name in sorted(names))
    graph.remove_edges_from(list(networkx.selfloop_edges(graph)))
    return graph


def drawing(steps: Mapping[str, Step]) -> Drawing:
    """The stages in rows, each below those it reads from (Sugiyama, Tagawa and Toda 1981).

    An arrow that others imply (a stage reads what its reader's maker read too) is left out. An
    arrow past several rows goes through a free place in each.
    """
    graph = read_by(steps)
    reduced = networkx.transitive_reduction(graph)
    row: dict[str, int] = {}
    for name in networkx.lexicographical_topological_sort(reduced):
        row[name] = max((row[before] + 1 for before in reduced.predecessors(name)), default=0)
    # A stage that reads none stands right above its first reader.
    for name in sorted(row):
        if not reduced.in_degree(name) and reduced.out_degree(name):
            row[name] = min(row[after] for after in reduced.successors(name)) - 1
    routes, links = [], networkx.Graph()
    places: dict[int, list[str | tuple[str, str, int]]] = {}
    for name in row:
        places.setdefault(row[name], []).append(name)
    for source, target in sorted(reduced.edges):
        route = [source]
        for between in range(row[source] + 1, row[target]):
            route.append((source, target, between))
            places.setdefault(between, []).append(route[-1])
        route.append(target)
        routes.append(route)
        links.add_edges_from(pairwise(route))
    x = _across(places, links)
    left = min(x.values()) - WIDTH / 2
    y = {place: DOWN * number for number, line in places.items() for place in line}
    cells: dict[str, list[str]] = {}
    for step in steps:
        cells.setdefault(stage_name(step), []).append(step)
    top = min(y.values()) - HEIGHT / 2
    nodes = [
        Node(name, cells[name], x[name] - left + 2, y[name] - top + 2)
        for name in sorted(row, key=lambda name: (row[name], x[name]))
    ]
    arrows = [
        _path([(x[place] - left + 2, y[place] - top + 2) for place in route]) for route in routes
    ]
    return Drawing(
        nodes,
        arrows,
        max(x.values()) - left + WIDTH / 2 + 4,
        max(y.values()) - top + HEIGHT / 2 + 4,
    )


def _across(places: dict[int, list], links: networkx.Graph) -> dict[object, float]:
    """Where each place of a row stands: near the middle of those it is linked with."""
    x: dict[object, float] = {
        place: WIDTH * k for line in places.values() for k, place in enumerate(line)
    }
    for sweep in range(SWEEPS):
        for number in sorted(places, reverse=bool(sweep % 2)):
            line = places[number]
            wish: dict[object, float] = {}
            for place in line:
                near = [x[other] for other in links[place]] if place in links else []
                wish[place] = sum(near) / len(near) if near else x[place]
            line.sort(key=lambda place: (wish[place], str(place)))
            # Pushed apart where they wish to stand closer than boxes may, then centred again.
            spread: list[float] = []
            for k, place in enumerate(line):
                apart = (_half(line[k - 1]) + _half(place) + BETWEEN) if k else 0
                spread.append(max(wish[place], spread[-1] + apart) if k else wish[place])
            back = sum(s - wish[p] for s, p in zip(spread, line, strict=True)) / len(line)
            for place, at in zip(line, spread, strict=True):
                x[place] = at - back
    return x


def _half(place: object) -> float:
    """Half the width of a place: of a stage's box, or of an arrow that passes through."""
    return 0 if isinstance(place, tuple) else WIDTH / 2


def _path(points: list[tuple[float, float]]) -> str:
    """A smooth SVG path from the lower edge of the first box to the upper edge of the last."""
    first, *between, last = points
    points = [
        (first[0], first[1] + HEIGHT / 2),
        *between,
        (last[0], last[1] - HEIGHT / 2 - 5),
    ]
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (ax, ay), (bx, by) in pairwise(points):
        middle = (ay + by) / 2
        path += f"C{ax:.1f},{middle:.1f} {bx:.1f},{middle:.1f} {bx:.1f},{by:.1f}"
    return path
