"""A comparison of two results as text: what changed first, then how much of the rest."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from traitdrift.report.verdicts import Comparison


def of(
    found: Comparison, one: str, other: str, made: Sequence[Sequence[str]], left_out: Sequence[str]
) -> Group:
    """A line a changed verdict, a line a folder of figures, and on what the two were made.

    `made` are the kinds of machine of both sides, none if that is not known; `left_out` the stages
    whose figures were not looked at.
    """
    parts: list[RenderableType] = [Text(f"{_verdicts(found)} from {one} to {other}")]
    if found.changed:
        table = _table("", one, other)
        for each in found.changed:
            table.add_row(each.about, each.old, each.new)
        parts.append(table)
    if found.layers_changed:
        parts.append(
            Text(f"Layer by layer: {found.layers_changed} of {found.layers} verdicts on a shift")
        )
    if outside := [one for one in found.left if one.outside]:
        parts.append(Text(f"Figures that left their interval in {one}, with the farthest"))
        table = _table("", "")
        for place in outside:
            count = f"  {place.outside} of {place.figures}"
            table.add_row(count, f"{place.place}\n  {place.farthest}")
        parts.append(table)
    elif figures := sum(place.figures for place in found.left):
        parts.append(Text(f"All {figures} figures of {other} lie within their interval in {one}"))
    if found.alone:
        parts.append(Text(f"{found.alone} verdicts stand in one of the two alone"))
    if left_out:
        some = ", ".join(left_out[:3]) + " and others" * (len(left_out) > 3)
        parts.append(Text(f"Left out, for they would run again: {some}"))
    parts += [Text(line) for line in _machines(one, other, *made)]
    return Group(*parts)


def _verdicts(found: Comparison) -> str:
    if found.changed:
        return f"{len(found.changed)} of {found.verdicts} verdicts changed"
    return f"None of {found.verdicts} verdicts changed"


def _table(*head: str) -> Table:
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(head[0] or head[1])
    )
    for name in head:
        table.add_column(name, overflow="fold", header_style="none")
    return table


def _machines(one: str, other: str, old: Sequence[str], new: Sequence[str]) -> list[str]:
    """On what the two were made, if that can be why their figures differ."""
    if old and set(old) == set(new):
        return [f"Both were made on {' and '.join(old)}"]
    return [
        f"{name} was made on {' and '.join(kinds) if kinds else 'a machine that it does not name'}"
        for name, kinds in ((one, old), (other, new))
    ]
