"""Writes the table of docs/performance.md from bench/results.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.sides import RESULTS

PAGE = Path("docs/performance.md")
HEAD = "| question | beside | here | there | times as fast | to reach | the same? |\n"
RULE = "| --- | --- | ---: | ---: | ---: | ---: | --- |\n"


def table(rows: list[dict[str, Any]]) -> str:
    """One row a question and other side, seconds unless it says otherwise."""
    lines = [
        f"| {row['question']} | {row['compared_with']} | {row['seconds']:.3g} | "
        f"{row['others']:.3g} | {row['others'] / row['seconds']:.3g} | {aim(row['to_reach'])} | "
        f"{row['same']} |\n"
        for row in sorted(rows, key=lambda row: row["question"])
    ]
    return HEAD + RULE + "".join(lines)


def aim(to_reach: float | None) -> str:
    return "" if to_reach is None else f"{to_reach:.3g}"


def main() -> None:
    rows = json.loads(RESULTS.read_text())
    before, _, rest = PAGE.read_text().partition(HEAD)
    after = rest.splitlines(keepends=True)
    while after and after[0].startswith("|"):
        after.pop(0)
    PAGE.write_text(before + table(rows) + "".join(after))


if __name__ == "__main__":
    main()
