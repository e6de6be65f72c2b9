"""Replies kept from run to run: what was paid for is never asked for again.

They lie outside DVC's outputs, which are cleared before a stage runs. One file for each that is
asked; a line is added and flushed for each reply, so that a run that is killed keeps what it had.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from traitdrift.core.files import text_digest
from traitdrift.core.writing import telling_where

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class Kept(Generic[T]):
    """The replies of one that is asked by key, in memory and in its file.

    `kind` is the dataclass of a reply; `identity` is all that makes another of who is asked.
    """

    def __init__(self, kind: type[T], identity: Mapping[str, Any], folder: Path):
        self.path = folder / f"{text_digest([json.dumps(identity, sort_keys=True)])[:16]}.jsonl"
        self.known: dict[str, T] = {}
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # Line ends as such, none of the other characters that str.splitlines breaks at.
        for line in text.split("\n"):
            try:
                row = json.loads(line)
                key = row.pop("key")
                self.known[key] = kind(**row)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # torn when its writer was killed: that one is asked for again
        # What follows a torn line begins a line of its own.
        self.torn = bool(text) and not text.endswith("\n")

    def __contains__(self, key: str) -> bool:
        return key in self.known

    def __getitem__(self, key: str) -> T:
        return self.known[key]

    def keep(self, key: str, reply: T) -> None:
        """Add a reply to the file, at once."""
        line = json.dumps({"key": key, **asdict(reply)}) + "\n"
        with telling_where(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write("\n" + line if self.torn else line)
        self.torn = False
        self.known[key] = reply

    def replies(
        self,
        keys: Sequence[str],
        ask: Callable[[list[int]], Iterable[tuple[int, T]]],
        advance: Callable[[int], None],
    ) -> list[T]:
        """The reply to each key; only what is not kept yet is asked for, equal keys once.

        `ask` is given the indexes of those, and gives replies by their place among them, in any
        order. `advance` is called with the number of replies had.
        """
        missing: dict[str, int] = {}
        for index, key in enumerate(keys):
            if key not in self:
                missing.setdefault(key, index)
        advance(sum(key in self for key in keys))
        names, shared = list(missing), Counter(keys)
        for place, reply in ask(list(missing.values())) if missing else ():
            self.keep(names[place], reply)
            advance(shared[names[place]])
        return [self[key] for key in keys]
