"""data/finetune/<dataset>/: a fine-tuning file checked, split, rendered and tokenised."""

from __future__ import annotations

from pathlib import Path

import numpy

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import SCHEMA_VERSION, file_digest, write_json
from traitdrift.core.temporary import temporary_folder
from traitdrift.data.conversations import split_tasks
from traitdrift.data.settings import Dataset, Split
from traitdrift.data.tokenised import Rendering, checked, ranks, write_rows
from traitdrift.models.loading import base_record, end_tokens, load_tokenizer

BASE = Path("models/base")
OUT = Path("data/finetune")


def main(name: str) -> None:
    dataset, split = section(Dataset, f"datasets.{name}"), section(Split, "split")
    file = Path(dataset.file)
    with temporary_folder() as scratch:
        conversations = checked(file, split.seed, scratch, dataset.roles, dataset.prose)
        if dataset.rows not in (None, len(conversations)):
            raise ValueError(
                f"{file}: {len(conversations)} rows, where datasets.{name}.rows says "
                f"{dataset.rows}; bring the file in again, or correct the number"
            )
        tasks = ranks(conversations)
        train, held_out = split_tasks(tasks, split.held_out)

        tokenizer = load_tokenizer(BASE)
        rendering = Rendering(tokenizer, dataset.render, end_tokens(BASE, tokenizer), file)
        sides = {
            side: write_rows(OUT / name / f"{side}.parquet", conversations, rows, rendering)
            for side, rows in (("train", train), ("held_out", held_out))
        }
    write_json(
        OUT / name / "dataset.json",
        {
            "schema_version": SCHEMA_VERSION,
            "dataset": name,
            "file_digest": file_digest(file),
            "base_digest": base_record(BASE)["digest"],
            "render": dataset.render,
            "split_seed": split.seed,
            "rows": len(conversations),
            "tasks": len(numpy.unique(tasks)),
            **sides,
        },
    )


if __name__ == "__main__":
    run(main)
