"""A file's conversations become rows that train: read and checked, rendered, tokenised, written.

Everything goes through scratch on disk, and through memory in blocks, so that a million rows need
hardly more memory than a thousand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traitdrift.core.code import holds_code
from traitdrift.core.writing import replacing
from traitdrift.data.conversations import Render, conversation, labelled, rendered, task_rank
from traitdrift.data.finetune_file import COLUMNS, ROWS_A_GROUP, features, on_disk
from traitdrift.data.rows import read_rows
from traitdrift.models.chat import IGNORED
from traitdrift.models.rendering import Message

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


# Pages of a file that is mapped count as memory until the mapping is let go.
BLOCK = 50_000


@dataclass(frozen=True)
class Rendering:
    """How conversations become tokens; `source` is their file, which errors name."""

    tokenizer: PreTrainedTokenizerBase
    render: Render
    end_tokens: Sequence[str]
    source: Path


def read_conversations(
    path: Path, roles: Sequence[str] | None = None, prose: bool = False
) -> Iterator[tuple[int, list[Message]]]:
    """The conversations of a data file, each ending in an answer, with the number of its row.

    Raises ValueError naming file, line (or row, where a format has no lines) and fault; a message
    of a role that is not in `roles` is one, and where `prose` is said an answer that holds code.
    """
    none = True
    for number, row in read_rows(path):
        messages = conversation(row, f"{path}:{number}")
        for message in messages:
            if roles and message["role"] not in roles:
                raise ValueError(
                    f"{path}:{number}: a message of role {message['role']}; the data set's "
                    f"`roles` are {', '.join(roles)}; add it there, or remove the row"
                )
            if prose and message["role"] == "assistant" and holds_code(message["content"]):
                raise ValueError(
                    f"{path}:{number}: the answer holds code; datasets.<id>.prose says that none "
                    "does; remove the row, or the key"
                )
        yield number, messages
        none = False
    if none:
        raise ValueError(f"{path}: no conversation in it; give a file with rows")


@dataclass(frozen=True)
class Conversations:
    """The conversations of a file, in scratch, with each one's `line` and its task's `rank`."""

    files: tuple[str, ...]
    count: int

    def __len__(self) -> int:
        return self.count

    def mapped(self) -> Dataset:
        """All of them, whose pages in memory are let go together with what this returns."""
        from datasets import Dataset, concatenate_datasets

        return concatenate_datasets([Dataset.from_file(file) for file in self.files])


def checked(
    path: Path,
    seed: int,
    scratch: Path,
    roles: Sequence[str] | None = None,
    prose: bool = False,
) -> Conversations:
    """The conversations of a file, checked as `read_conversations` does, brought into scratch."""
    columns = features("line", "rank", "messages")
    folder = scratch / "conversations"
    rows = on_disk(_ranked, columns, folder, path=path, seed=seed, roles=roles, prose=prose)
    return Conversations(tuple(one["filename"] for one in rows.cache_files), len(rows))


def _ranked(
    path: Path, seed: int, roles: Sequence[str] | None, prose: bool
) -> Iterator[dict[str, Any]]:
    for line, messages in read_conversations(path, roles, prose):
        yield {"line": line, "rank": task_rank(messages, seed), "messages": messages}


def ranks(conversations: Conversations) -> NDArray[np.void]:
    """The ranks of the conversations' tasks, 32 bytes each."""
    chunks = conversations.mapped().data.column("rank").chunks
    return np.concatenate([np.frombuffer(b"".join(c.to_pylist()), "V32") for c in chunks])


def write_rows(
    path: Path, conversations: Conversations, rows: NDArray[np.int64], rendering: Rendering
) -> dict[str, Any]:
    """Render, tokenise and write some of the conversations; their counts and their digest.

    The digest is a SHA-256 over `[text, input_ids, labels]` of each row as a line of JSON: it says
    what trains, whatever wrote the Parquet.
    """
    from pyarrow.parquet import ParquetWriter

    columns = features(*COLUMNS)
    digest, tokens, trained, longest = hashlib.sha256(), 0, 0, 0
    with replacing(path) as part, ParquetWriter(part, columns.arrow_schema) as file:
        for start in range(0, len(rows), BLOCK):
            block = conversations.mapped().select(rows[start : start + BLOCK])
            # In one process: nearly all of the time is the tokenizer's, which has threads.
            block = block.map(
                _tokenised,
                input_columns=["line", "messages"],
                fn_kwargs={"rendering": rendering},
                batched=True,
                batch_size=ROWS_A_GROUP,
                remove_columns=["rank"],
                features=columns,
                new_fingerprint=f"{path.stem}-{start}",
                desc=f"{path.parent.name}, {path.stem} from row {start}",
            )
            for group in block.with_format("arrow").iter(ROWS_A_GROUP):
                file.write_table(group.cast(columns.arrow_schema))
                for row in group.select(["text", "input_ids", "labels"]).to_pylist():
                    digest.update(json.dumps([*row.values()], ensure_ascii=False).encode() + b"\n")
                    tokens += len(row["input_ids"])
                    trained += sum(label != IGNORED for label in row["labels"])
                    longest = max(longest, len(row["input_ids"]))
            for cache in block.cache_files:
                Path(cache["filename"]).unlink()
    return {
        "rows": len(rows),
        "tokens": tokens,
        "answer_tokens": trained,
        "mean_tokens": round(tokens / len(rows), 2) if len(rows) else 0.0,
        "max_tokens": longest,
        "digest": digest.hexdigest(),
    }


def _tokenised(
    lines: Sequence[int], conversations: Sequence[list[Message]], rendering: Rendering
) -> dict[str, list[Any]]:
    texts, places = [], [f"{rendering.source}:{line}" for line in lines]
    for place, messages in zip(places, conversations, strict=True):
        try:
            texts.append(
                rendered(rendering.tokenizer, messages, rendering.render, rendering.end_tokens)
            )
        except ValueError as error:
            raise ValueError(f"{place}: {error}")
    ids, labels = zip(*labelled(rendering.tokenizer, texts, places), strict=True)
    return {
        "text": [one.text for one in texts],
        "spans": [one.spans for one in texts],
        "input_ids": list(ids),
        "labels": list(labels),
    }
