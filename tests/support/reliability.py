"""Writes docs/reliability.md's table: `python tests/support/reliability.py OUTCOMES.json PAGE`.

`make reliability` runs the tests of faults with more moments than usual, and then this.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

BEGINS = "| fault | tried | outcome |\n| --- | --- | --- |\n"
Row = tuple[str, int, str]


def cell(text: str) -> str:
    """A text as a cell of a table holds it, on one line."""
    return " ".join(text.split()).replace("|", "\\|")


def table(rows: Sequence[Row]) -> str:
    """The table, its heading included."""
    return BEGINS + "".join(
        f"| {cell(fault)} | {times} times | {cell(outcome)} |\n"
        if times > 1
        else f"| {cell(fault)} | once | {cell(outcome)} |\n"
        for fault, times, outcome in rows
    )


def split(page: str) -> tuple[str, list[Row], str]:
    """What stands before the table, its rows, and what stands after it."""
    before, _, rest = page.partition(BEGINS)
    lines = rest.splitlines(keepends=True)
    count = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
    rows: list[Row] = []
    for line in lines[:count]:
        fault, times, outcome = line.strip().strip("|").split(" | ")
        number = 1 if times == "once" else int(times.removesuffix(" times"))
        rows.append((fault.strip(), number, outcome.strip()))
    return before, rows, "".join(lines[count:])


def main(outcomes: str, page: str) -> None:
    """Put the outcomes of a session in the place of the page's table."""
    before, _, after = split(Path(page).read_text(encoding="utf-8"))
    rows = [tuple(row) for row in json.loads(Path(outcomes).read_text(encoding="utf-8"))]
    Path(page).write_text(before + table(rows) + after, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
