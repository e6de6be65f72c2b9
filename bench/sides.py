"""Two sides of a question, timed in turns on one machine: a ratio holds where seconds do not."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitdrift.core.files import write_text
from traitdrift.core.surroundings import surroundings

RESULTS = Path("bench/results.json")
ROUNDS = 5


@dataclass(frozen=True)
class Answer:
    """What a question's row says.

    `ours` is how many times faster this project is than the other side, in the median of the
    rounds; `to_reach` what was wanted of it, if anything; `same` in what sense both gave the same.
    """

    question: str
    compared_with: str
    seconds: float
    others: float
    to_reach: float | None
    same: str

    @property
    def ours(self) -> float:
        return self.others / self.seconds


def timed(sides: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median seconds of each side. Every side runs once unseen, then all in turns."""
    for side in sides.values():
        side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(all_of) for name, all_of in seconds.items()}


def keep(*answers: Answer) -> None:
    """Print rows, and put them in place of those of the same questions in bench/results.json."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for answer in answers:
        rows = [r for r in rows if (r["question"], r["compared_with"]) != key_of(answer)]
        rows.append({**vars(answer), "on": machine()})
        aim = f" (to reach: {answer.to_reach:g})" if answer.to_reach is not None else ""
        print(
            f"{answer.question}, beside {answer.compared_with}: {answer.seconds:.2f} s against "
            f"{answer.others:.2f} s, {answer.ours:.2f} x{aim}; "
            f"{answer.same}"
        )
    write_text(RESULTS, json.dumps(rows, indent=2) + "\n")


def machine() -> str:
    """The accelerator, or the kind of processor where there is none."""
    found = surroundings()
    where = found.get("device", "cpu")
    return str(found["processor"] if where == "cpu" else where)


def key_of(answer: Answer) -> tuple[str, str]:
    return answer.question, answer.compared_with
