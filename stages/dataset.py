"""data/finetune/<dataset>/: a fine-tuning file checked, split, rendered and counted."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import SCHEMA_VERSION, file_digest, write_json, write_jsonl
from traitdrift.data.conversations import prompt_key, read_conversations, rendered_row, split_tasks
from traitdrift.data.settings import Dataset, Split
from traitdrift.models.loading import base_record, end_tokens, load_tokenizer

BASE = Path("models/base")
OUT = Path("data/finetune")


def main(name: str) -> None:
    dataset, sides_of = section(Dataset, f"datasets.{name}"), section(Split, "split")
    conversations = read_conversations(Path(dataset.file))
    train, held_out = split_tasks(conversations, sides_of.held_out, sides_of.seed)

    tokenizer = load_tokenizer(BASE)
    ends = end_tokens(BASE, tokenizer)
    sides = {
        side: [rendered_row(tokenizer, conversations[row], dataset.render, ends) for row in rows]
        for side, rows in (("train", train), ("held_out", held_out))
    }
    for side, rows in sides.items():
        write_jsonl(OUT / name / f"{side}.jsonl", rows)
    write_json(
        OUT / name / "dataset.json",
        {
            "schema_version": SCHEMA_VERSION,
            "dataset": name,
            "file_digest": file_digest(Path(dataset.file)),
            "base_digest": base_record(BASE)["digest"],
            "render": dataset.render,
            "split_seed": sides_of.seed,
            "rows": len(conversations),
            "tasks": len({prompt_key(conversation) for conversation in conversations}),
            **{side: counts(rows) for side, rows in sides.items()},
        },
    )


def counts(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Rows and tokens of one side of the split."""
    tokens = [row["tokens"] for row in rows]
    return {
        "rows": len(rows),
        "tokens": sum(tokens),
        "answer_tokens": sum(row["answer_tokens"] for row in rows),
        "mean_tokens": round(statistics.fmean(tokens), 2) if rows else 0.0,
        "max_tokens": max(tokens, default=0),
    }


if __name__ == "__main__":
    run(main)
