"""Rows of a data file, one at a time: JSON Lines, JSON, Parquet or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traitdrift.core.files import iter_jsonl
from traitdrift.models.chat import ROLES

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
    try:
        with path.open(encoding="utf-8") as file:
            is_list = file.read(1000).lstrip().startswith("[")
        # Many a file of JSON Lines is called .json.
        rows = json.loads(path.read_text(encoding="utf-8")) if is_list else None
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 JSON ({error})")
    if rows is None:
        yield from iter_jsonl(path)
        return
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: a {type(row).__name__}, not an object")
        yield number, row


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = [c for c in file.schema_arrow.names if c in ("messages", *ROLES)]
            number = 0
            for batch in file.iter_batches(batch_size=1000, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _turns(row)
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path}: cannot be read as Parquet ({error})")


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        try:
            names = table.fieldnames or []
            if not {"user", "assistant"} <= set(names):
                raise ValueError(
                    f"{path}:1: no columns `user` and `assistant` (there are "
                    f"{', '.join(map(str, names)) or 'none'}); name them in the first line"
                )
            begins = table.line_num + 1
            for row in table:
                yield begins, _turns(row)
                begins = table.line_num + 1
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}:{table.line_num}: cannot be read as UTF-8 CSV ({error})")


def _turns(row: dict[str, Any]) -> dict[str, Any]:
    if "messages" in row or "assistant" not in row:
        return row
    turns = [{"role": role, "content": row.get(role)} for role in ROLES]
    return {"messages": turns if (row.get("system") or "").strip() else turns[1:]}
