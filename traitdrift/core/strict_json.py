"""JSON of elsewhere, read strictly: what two readers could understand differently is refused."""

from __future__ import annotations

import json
from typing import Any


def json_object_of(text: bytes) -> dict[str, Any]:
    """The object that UTF-8 text is.

    Raises ValueError, which says why and not where: not UTF-8 or JSON, no object, nested too deep,
    a key twice, or NaN and infinity, which JSON has no name for.
    """
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deep")
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})")
    except UnicodeDecodeError:
        raise ValueError("not JSON (no UTF-8)")
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}, not an object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
