"""Dotted names of the values in a JSON file, whose own names may hold dots."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any


def look_up(values: Any, key: str, where: str) -> Any:
    """The value under a dotted key; items of a list go by number, from 0.

    Where the key may mean several, the longest names win. Raises ValueError, with the nearest
    keys, where it means none.
    """
    for value in _meant(values, key):
        return value
    keys = list(_keys(values))
    near = ", ".join(difflib.get_close_matches(key, keys, n=3, cutoff=0.4) or keys[:3])
    raise ValueError(f"{where}: no {key or 'empty key'} in it; nearest: {near}")


def _items(values: Any) -> dict[str, Any]:
    if isinstance(values, dict):
        return values
    return {str(i): v for i, v in enumerate(values)} if isinstance(values, list) else {}


def _meant(values: Any, key: str) -> Iterator[Any]:
    """Everything that a dotted key may mean."""
    items = _items(values)
    for name in sorted(items, key=len, reverse=True):
        if key == name:
            yield items[name]
        elif key.startswith(f"{name}."):
            yield from _meant(items[name], key[len(name) + 1 :])


def _keys(values: Any) -> Iterator[str]:
    """The dotted keys of all single values."""
    for name, value in _items(values).items():
        if _items(value):
            yield from (f"{name}.{rest}" for rest in _keys(value))
        else:
            yield name
