"""What the tests of faults tried, how often and with which outcome: docs/reliability.md's table."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path


class Outcomes:
    """Each outcome of a session, counted; a fault that had another outcome failed its test."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def tried(self, fault: str, outcome: str, times: int = 1) -> None:
        self.counts[fault, outcome] += times

    def save(self, path: Path) -> None:
        """Write them as JSON, in the order in which they were tried."""
        rows = [[fault, times, outcome] for (fault, outcome), times in self.counts.items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
