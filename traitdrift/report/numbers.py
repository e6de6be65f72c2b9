"""Figures with their source, and how they are written: signs, percent, p-values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MINUS = "\u2212"


@dataclass(frozen=True)
class Figure:
    """A number as the page shows it, what stands beside it (its interval, or p), and its place.

    `values` are the numbers it is made of as the file at `path` has them, by key.
    """

    text: str
    beside: str
    path: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What the tests say, one of `VERDICTS`, and where they stand."""

    text: str
    path: str
    values: dict[str, Any]


Part = str | Figure


def value_at(tree: Any, keys: Iterable[str], missing: Any = None) -> Any:
    """The record or number under these keys of a JSON file; `missing` where one of them is not."""
    for key in keys:
        if not isinstance(tree, Mapping) or key not in tree:
            return missing
        tree = tree[key]
    return tree


@dataclass(frozen=True)
class Source:
    """A JSON file of figures, so that each can say where it stands."""

    path: str
    content: Mapping[str, Any]

    def at(self, *keys: str) -> Any:
        """The record or number under these keys; None where one is missing."""
        return value_at(self.content, keys)

    def figure(
        self,
        keys: Sequence[str],
        show: Callable[[float], str],
        names: Sequence[str] = ("value", "low", "high"),
    ) -> Part:
        """The number `names[0]` of the record at `keys`, the others as its interval.

        `none` where the file has no such number, or null.
        """
        record = self.at(*keys)
        values: list[Any] = [
            record.get(name) if isinstance(record, Mapping) else None for name in names
        ]
        if values[0] is None:
            return "none"
        interval = ""
        if len(values) == 3 and None not in values:
            interval = f"[{', '.join(show(value).removesuffix(' %') for value in values[1:])}]"
        named = {".".join([*keys, name]): v for name, v in zip(names, values, strict=True)}
        return Figure(show(values[0]), interval, self.path, named)

    def place(self, keys: Sequence[str], null: str) -> Part:
        """A shift's z among vectors that mean nothing, with the share of them that go as far."""
        z, p = f"{null}_z", f"{null}_p"
        found = self.figure(keys, signed, (z,))
        if isinstance(found, str):
            return found
        share = self.at(*keys)[p]
        named = found.values | {".".join([*keys, p]): share}
        return Figure(found.text, f"p {p_value(share)}", self.path, named)


def number(value: float, sign: str = "") -> str:
    """A projection or the like: two decimals, one from a hundred on, with a true minus."""
    decimals = 1 if abs(value) >= 100 else 2
    return f"{value:{sign}.{decimals}f}".replace("-", MINUS)


def signed(value: float) -> str:
    """A difference, its sign always shown."""
    return number(value, "+")


def percent(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.1f} %".replace("-", MINUS)


def p_value(value: float) -> str:
    """A p-value; none is zero."""
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last
