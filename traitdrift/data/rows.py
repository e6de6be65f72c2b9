"""Rows of a data file, one at a time: JSON Lines, JSON, Parquet or CSV."""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.files import iter_jsonl, odd, refuse_odd, unique_keys
from traitdrift.core.text import printable, read_text, refuse_endless, refuse_foreign
from traitdrift.data.conversations import meant
from traitdrift.models.rendering import ROLES

if TYPE_CHECKING:
    from pyarrow import RecordBatch

FORMATS = ".jsonl, .jsonl.gz, .json, .parquet or .csv"
# A cell of a table holds whole programs.
csv.field_size_limit(2**31 - 1)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A file's rows with their numbers: lines from 1 where the format has lines, else rows from 1.

    A row without `messages` in a table (Parquet, CSV) is one turn, a column a role: `user`,
    `assistant` and, where it is not empty, `system`. A `.json` file, a list of rows, is read whole;
    the others take the memory of a few rows. Raises ValueError with file and place where a row
    cannot be read.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file; set datasets.<id>.file to a file of conversations")
    refuse_endless(path)
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        return iter_jsonl(path)
    if name.endswith(".json"):
        return _json(path)
    if name.endswith(".parquet"):
        return _parquet(path)
    if name.endswith(".csv"):
        return _csv(path)
    raise ValueError(f"{path}: not a format that is read; give {FORMATS}")


def _json(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        head = file.read(1000)
    refuse_foreign(path, head)
    if not head.removeprefix(BOM_UTF8).lstrip().startswith(b"["):
        yield from iter_jsonl(path)  # many a file of JSON Lines is called .json
        return
    text = read_text(path)
    try:
        rows = json.loads(text, object_pairs_hook=unique_keys)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 JSON ({printable(str(error))}); mend it")
    looked_at = odd(text)  # once: for every row it would take the time of the whole text
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(
                f"{path}:{number}: a {type(row).__name__}, not an object; mend the row"
            )
        if looked_at:
            refuse_odd(row, f"{path}:{number}")
        yield number, row


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    read = {"messages", *ROLES}
    try:
        with parquet.ParquetFile(path) as file:
            columns = [c for c in file.schema_arrow.names if c in read or meant(c)]
            _refuse_twice(path, columns)
            number = 0
            for batch in file.iter_batches(batch_size=1000, columns=columns):
                for row in _as_python(batch):
                    number += 1
                    yield number, _turns(row)
    # Of a damaged page it says OSError, and ArithmeticError of what Python has no value for.
    except (pyarrow.ArrowException, UnicodeDecodeError, ArithmeticError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(
            f"{path}: cannot be read as Parquet ({printable(str(error))}); fetch it again"
        )


def _as_python(batch: RecordBatch) -> list[dict[str, Any]]:
    """A batch's rows; an ArithmeticError for a date, time or text that Python lacks."""
    try:
        return batch.to_pylist()
    except ValueError as error:  # UnicodeDecodeError, and what pandas says of its times
        raise ArithmeticError(str(error))


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as raw:
        refuse_foreign(path, raw.read(4))
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        try:
            names = [*(table.fieldnames or [])]
            if not {"user", "assistant"} <= set(names):
                raise ValueError(
                    f"{path}:1: no columns `user` and `assistant` (there are "
                    f"{printable(', '.join(names))[:200] or 'none'}); name them in the first line"
                )
            _refuse_twice(path, names)
            begins = table.line_num + 1
            for row in table:
                if None in row:
                    raise ValueError(
                        f"{path}:{begins}: more cells than the {len(names)} columns; put cells "
                        "that hold a comma or a line end in quotes"
                    )
                yield begins, _turns(row)
                begins = table.line_num + 1
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(
                f"{path}:{table.line_num}: cannot be read as UTF-8 CSV ({error}); mend it"
            )


def _refuse_twice(path: Path, columns: list[str]) -> None:
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(f"{path}: two columns {printable(column)[:80]!r}; remove one")


def _turns(row: dict[str, Any]) -> dict[str, Any]:
    if "messages" in row or "assistant" not in row:
        return row
    turns = [{"role": role, "content": row.get(role)} for role in ROLES]
    others = {key: value for key, value in row.items() if meant(key) and key not in ROLES}
    system = row.get("system")
    empty = system is None or (isinstance(system, str) and not system.strip())
    return {"messages": turns[1:] if empty else turns, **others}
