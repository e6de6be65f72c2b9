"""Adapters kept along a fine-tune: where they lie in its folder, each as a variant does."""

from __future__ import annotations

from pathlib import Path

ALONG = "along"


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
