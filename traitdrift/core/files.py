"""Files that stages write: atomic, byte-equal on a rerun, and able to describe themselves."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traitdrift.core.safetensors_header import Entry, read_header
from traitdrift.core.text import LONE_SURROGATE, printable, refuse_endless, refuse_foreign
from traitdrift.core.writing import replacing

if TYPE_CHECKING:
    import pandas
    import torch


SCHEMA_VERSION = 1


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON; NaN and infinity are a ValueError, JSON has no name for them."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def csv_text(frame: pandas.DataFrame) -> str:
    """A table without its index; the shortest text that reads back as the same float.

    Rows end in a line feed, and a cell with either character of a line end stands in quotes: a
    lone carriage return ends a row for every reader. Python quotes those of the row's end alone,
    so that rows are made with both and lose one. A NUL, at which readers end a cell, is shown.
    """
    rows: list[str] = []

    class Rows:
        @staticmethod
        def write(row: str) -> None:
            rows.append(row.removesuffix("\r\n") + "\n")

    frame.to_csv(Rows, index=False, lineterminator="\r\n")
    return "".join(rows).replace("\0", "\u2400")


def write_csv(path: Path, frame: pandas.DataFrame) -> None:
    """Write a table as `csv_text` gives it."""
    write_text(path, csv_text(frame))


def read_table(path: Path) -> pandas.DataFrame:
    """Read what `write_csv` wrote: only an empty field is missing, a text may be `null`."""
    import pandas

    return pandas.read_csv(path, keep_default_na=False, na_values=[""])


def read_tables(names: Iterable[str], pattern: str, column: str = "variant") -> pandas.DataFrame:
    """One table of the files `pattern`, with a column in front that names each row's origin."""
    import pandas

    tables = []
    for name in names:
        tables.append(read_table(Path(pattern.format(name))))
        tables[-1].insert(0, column, name)
    # A file without rows has no types to keep.
    filled = [table for table in tables if len(table)] or tables[:1]
    return pandas.concat(filled, ignore_index=True) if tables else pandas.DataFrame({column: []})


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def iter_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines of `.jsonl` or `.jsonl.gz` as (line number, object); blank lines are skipped.

    Raises ValueError with file and line where a line is no JSON object, names a key twice, or
    holds what is no text (another encoding, half a surrogate pair).
    """
    refuse_endless(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as raw:
            refuse_foreign(path, raw.read(4))
        # Bytes that are no UTF-8 come as surrogates, which are found in the line where they stand.
        with opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, json_object(line, f"{path}:{number}")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 JSONL ({error}); fetch it again")


def json_object(line: str, where: str) -> dict[str, Any]:
    """The JSON object that a line holds; a ValueError that begins with `where` if it holds none."""
    if not line.isascii() and LONE_SURROGATE.search(line):
        raise ValueError(f"{where}: cannot be read as UTF-8 JSONL (not UTF-8); save it as UTF-8")
    try:
        row = json.loads(line, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON ({error.msg}); mend the line")
    except RecursionError:
        raise ValueError(f"{where}: not JSON that is read (nested too deeply); mend the line")
    except ValueError as error:  # a key twice, a number of thousands of digits
        raise ValueError(f"{where}: {printable(str(error))}; mend the line")
    if not isinstance(row, dict):
        raise ValueError(f"{where}: a {type(row).__name__}, not an object; mend the line")
    if odd(line):
        refuse_odd(row, where)
    return row


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; a ValueError where a key stands twice, of which one would be lost."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = Counter(key for key, _ in pairs)
        twice = next(key for key, count in keys.items() if count > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in an object")
    return made


ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Far above any use, and far below where walking down a value ends in Python's own limit.
DEEPEST = 100


def odd(written: str) -> bool:
    """Whether JSON, written so, may hold what `refuse_odd` refuses."""
    return written.count("[") + written.count("{") > DEEPEST or bool(
        ESCAPED_SURROGATE.search(written)
    )


def refuse_odd(value: Any, where: str) -> None:
    """Raise ValueError where a value of JSON nests deeper than `DEEPEST`, or is no text.

    That is half a surrogate pair, which an escape may give, anywhere in it.
    """
    level = [value]
    for _ in range(DEEPEST):
        held = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for inner in held for one in inner if isinstance(one, (dict, list))]
    if level:
        raise ValueError(f"{where}: not JSON that is read (nested too deeply); mend the row")
    found = LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False))
    if found:
        raise ValueError(
            f"{where}: half a surrogate pair ({ascii(found[0])[1:-1]}), which is no text; "
            "mend the row"
        )


def read_jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """All that `iter_jsonl` gives."""
    return list(iter_jsonl(path))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 24):
            digest.update(chunk)
    return digest.hexdigest()


def text_digest(texts: Iterable[str]) -> str:
    """SHA-256 of a list of texts, in hexadecimal; order counts."""
    joined = json.dumps(list(texts), ensure_ascii=False)
    return hashlib.sha256(joined.encode("utf-8")).hexdigest()


def weights_digest(files: Iterable[Path]) -> str:
    """SHA-256 over the tensors of safetensors files, in hexadecimal.

    Tensors count by name, dtype, shape and bytes, in the order of their names: the digest
    stays the same when a model is sharded otherwise or its metadata is rewritten. Raises
    ValueError as `read_header` does, and where two files hold the same tensor.
    """
    tensors: dict[str, tuple[Path, Entry]] = {}
    for path in files:
        for name, entry in read_header(path).tensors.items():
            if name in tensors:
                raise ValueError(f"{path}: {name} is in {tensors[name][0].name} too; remove one")
            tensors[name] = (path, entry)
    if not tensors:
        raise ValueError("no safetensors weights to take a digest of")
    digest = hashlib.sha256()
    for name in sorted(tensors):
        path, entry = tensors[name]
        digest.update(json.dumps([name, entry.dtype, entry.shape]).encode("utf-8"))
        with path.open("rb") as file:
            file.seek(entry.start)
            left = entry.end - entry.start
            while left:
                chunk = file.read(min(left, 1 << 24))
                if not chunk:
                    raise ValueError(f"{path}: it became shorter while it was read; try again")
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], description: Mapping[str, Any]
) -> None:
    """Save tensors with one metadata key, `traitdrift`, that holds sorted JSON.

    One key because safetensors keeps several in no stated order, and the bytes would differ.
    """
    from safetensors.torch import save_file

    described = {"schema_version": SCHEMA_VERSION, **description}
    metadata = {"traitdrift": json.dumps(described, sort_keys=True, ensure_ascii=False)}
    with replacing(path) as scratch:
        save_file({name: t.contiguous() for name, t in tensors.items()}, scratch, metadata)


def stored_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file by name, in the names' order; ValueError if it is damaged.

    The file has them by their dtypes' sizes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        return dict(sorted(load_file(path).items()))
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: its tensors cannot be read ({error}); fetch it again")


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load what `save_tensors` wrote: the tensors and their description.

    Raises ValueError for a damaged file, or one of another program.
    """
    metadata = read_header(path).metadata
    if "traitdrift" not in metadata:
        raise ValueError(f"{path}: no trait-drift description in it; made by another program?")
    try:
        described = json.loads(metadata["traitdrift"])
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        raise ValueError(f"{path}: its description is damaged; fetch it again")
    return stored_tensors(path), described


def rounded(value: float, digits: int = 6) -> float | None:
    """A figure rounded for reading; None if it is undefined, JSON has no name for that."""
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None
