"""The adapters of a fine-tune, its last one and those on the way: each as a variant lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traitdrift.core.files import SCHEMA_VERSION, write_json
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.loading import VARIANT_RECORD

ALONG = "along"


def keep(saved: Path, into: Path, base: dict[str, Any], record: dict[str, Any]) -> None:
    """Keep an adapter that was trained here, with its record, whole or not at all.

    `base` is the base's record. Raises ValueError where config, weights and base disagree.
    """
    digest = keep_adapter(saved, into, base["id"])
    write_json(
        into / VARIANT_RECORD,
        {
            "schema_version": SCHEMA_VERSION,
            "kind": "finetune",
            "base_digest": base["digest"],
            "adapter_digest": digest,
            **record,
        },
    )


def place(variant: Path, step: int, last: int) -> Path:
    """Where the adapter after a step lies; zeros before the step, so that names sort."""
    return variant / ALONG / f"{step:0{len(str(last))}}"


def kept_adapters(variant: Path) -> dict[int, Path]:
    """The folders of a fine-tune's kept adapters by their optimiser step, in its order.

    Raises ValueError where none was kept.
    """
    found = sorted((int(path.name), path) for path in (variant / ALONG).glob("[0-9]*"))
    if not found:
        raise ValueError(
            f"{variant / ALONG}: no adapter was kept along this fine-tune; set `checkpoints` of "
            "the recipe and run `dvc repro`"
        )
    return dict(found)
