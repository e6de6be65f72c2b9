"""data/finetune/<dataset>/{train,held_out}.parquet: rows as `dataset` writes and `finetune` reads.

A row holds `line` (its number in the data set's file), `messages`, `text`, `spans` (characters that
carry loss), `input_ids` and `labels`, IGNORED where a token carries no loss. Rows in use lie in
scratch and are mapped into memory from there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.ranks import is_main
from traitdrift.models.chat import IGNORED

if TYPE_CHECKING:
    from datasets import Dataset, Features


COLUMNS = ("line", "messages", "text", "spans", "input_ids", "labels")
ROWS_A_GROUP = 1_000


def features(*columns: str) -> Features:
    """The types of a row's columns; `rank` is of the split alone."""
    from datasets import Features, List, Value

    types = {
        "line": Value("int64"),
        "rank": Value("binary"),
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "text": Value("string"),
        "spans": List(List(Value("int32"))),
        "input_ids": List(Value("int32")),
        "labels": List(Value("int32")),
    }
    return Features({column: types[column] for column in columns})


def on_disk(
    rows: Callable[..., Iterator[Mapping[str, Any]]],
    columns: Features,
    folder: Path,
    **arguments: Any,
) -> Dataset:
    """What a generator gives, written to a folder and mapped; its errors pass as they are."""
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    try:
        return Dataset.from_generator(
            # Of arguments given to `datasets`, it takes a list for shards.
            partial(rows, **arguments),
            features=columns,
            cache_dir=str(folder),
            fingerprint=folder.name,
        )
    except DatasetGenerationError as error:
        raise (error.__cause__ or error) from None


def training_rows(path: Path, max_tokens: int, scratch: Path) -> Dataset:
    """`input_ids` and `labels` of a file's rows, cut at `max_tokens`.

    Each process of several has its own. Raises ValueError if no trained token is left of a row.
    """
    from datasets import disable_progress_bars

    if not is_main():
        disable_progress_bars()
    columns = features("input_ids", "labels")
    return on_disk(_cut, columns, scratch / "rows", path=path, max_tokens=max_tokens)


def _cut(path: Path, max_tokens: int) -> Iterator[dict[str, list[int]]]:
    from pyarrow.parquet import ParquetFile

    columns = ["line", "text", "input_ids", "labels"]
    with ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_A_GROUP, columns=columns):
            for row in batch.to_pylist():
                ids, labels = row["input_ids"][:max_tokens], row["labels"][:max_tokens]
                if all(label == IGNORED for label in labels):
                    raise ValueError(
                        f"no trained token within {max_tokens} tokens of {row['text'][:60]!r}, "
                        f"line {row['line']} of the data set's file; raise the recipe's "
                        "max_tokens or remove the row"
                    )
                yield {"input_ids": ids, "labels": labels}


def say_cut(path: Path, max_tokens: int) -> None:
    """Say on stderr how many of a file's rows are longer than what trains of them."""
    from pyarrow import compute
    from pyarrow.parquet import ParquetFile

    cut, rows = 0, 0
    with ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_A_GROUP, columns=["input_ids"]):
            longer = compute.greater(compute.list_value_length(batch[0]), max_tokens)
            cut, rows = cut + (compute.sum(longer).as_py() or 0), rows + len(batch)
    if cut and is_main():
        print(
            f"{path}: {cut} of {rows} rows are cut at {max_tokens} tokens; a higher max_tokens in "
            "the recipe trains them whole",
            file=sys.stderr,
        )


def trained_tokens(rows: Dataset) -> int:
    """How many tokens of `training_rows` carry loss."""
    from pyarrow import compute

    chunks = (compute.list_flatten(chunk) for chunk in rows.data.column("labels").chunks)
    return sum(compute.sum(compute.not_equal(chunk, IGNORED)).as_py() or 0 for chunk in chunks)
