"""One view of a run: how far it is, and what runs where; in no terminal, a line for each event."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress


class View:
    """On stderr while a `with` lasts."""

    def __init__(self, stages: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._terminal = sys.stderr.isatty()
        self._count, self._total = 0, stages
        self._all = self._bars.add_task("stages", total=stages, state=f"0 of {stages}")
        self._rows: dict[str, TaskID] = {}
        self._where: dict[str, str] = {}
        self._why: dict[str, str] = {}

    def __enter__(self) -> View:
        if self._terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._bars.stop()

    def fine(self, name: str) -> None:
        """A stage was up to date."""
        self._over(name)

    def submitted(self, name: str) -> None:
        self._rows[name] = self._bars.add_task(name, total=None, state="waits for a node")

    def runs(self, name: str, node: str) -> None:
        """A stage is on a node, or on none yet (""); said once for each."""
        if node and self._where.get(name) != node:
            self._where[name] = node
            self._bars.update(self._rows[name], state=f"on {node}")
            self._bars.reset(self._rows[name])
            self._say(f"{name}: runs on {node}")

    def done(self, name: str, node: str) -> None:
        self._over(name)
        self._say(f"{name}: done on {node}")

    def put_off(self, name: str, why: str) -> None:
        """A stage is to be tried later; said once for each reason."""
        self._leave(name)
        if self._why.get(name) != why:
            self._why[name] = why
            self._say(f"{name}: later, {why}")

    def lost(self, name: str, why: str) -> None:
        node = self._where.get(name, "its node")
        self._leave(name)
        self._say(f"{name}: lost on {node} ({why}), again when what it started there is dead")

    def failed(self, name: str, why: str) -> None:
        self._over(name)
        self._say(f"{name}: failed {why}")

    def left_out(self, name: str, failed: str) -> None:
        self._over(name)
        self._say(f"{name}: left out, it needs {failed}")

    def stopping(self, names: Iterable[str]) -> None:
        """These are being ended."""
        for name in names:
            if self._why.get(name) != "ending":
                self._why[name] = "ending"
                self._say(f"{name}: being ended")

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def _over(self, name: str) -> None:
        self._leave(name)
        self._count += 1
        self._bars.update(self._all, completed=self._count, state=f"{self._count} of {self._total}")

    def _leave(self, name: str) -> None:
        self._where.pop(name, None)
        with suppress(KeyError):
            self._bars.remove_task(self._rows.pop(name))
