"""Judgements kept from run to run: a score that was paid for is never asked for again.

They lie outside DVC's outputs, which are cleared before a stage runs. One file a judge; a line is
added and flushed for each judgement, so that a run that is killed keeps what it had.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from traitdrift.core.files import text_digest
from traitdrift.judge.protocol import Judgement

FOLDER = Path(".judge")


class Scores:
    """The judgements of one judge by key, in memory and in its file."""

    def __init__(self, identity: Mapping[str, Any], folder: Path = FOLDER):
        self.path = folder / f"{text_digest([json.dumps(identity, sort_keys=True)])[:16]}.jsonl"
        self.known: dict[str, Judgement] = {}
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # Line ends as such, none of the other characters that str.splitlines breaks at.
        for line in text.split("\n"):
            try:
                row = json.loads(line)
                key = row.pop("key")
                self.known[key] = Judgement(**row)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # torn when its writer was killed: that one is asked for again
        # What follows a torn line begins a line of its own.
        self.torn = bool(text) and not text.endswith("\n")

    def __contains__(self, key: str) -> bool:
        return key in self.known

    def __getitem__(self, key: str) -> Judgement:
        return self.known[key]

    def keep(self, key: str, judgement: Judgement) -> None:
        """Add a judgement to the file, at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, **asdict(judgement)}) + "\n"
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("\n" + line if self.torn else line)
        self.torn = False
        self.known[key] = judgement
