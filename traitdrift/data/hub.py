"""Rows of a data set on the Hugging Face hub, as one Parquet file."""

from __future__ import annotations

from pathlib import Path

from traitdrift.core.writing import replacing
from traitdrift.data.settings import HubRows

# What a data set is made of: its card says which files are of which config and split.
FILES = ("README.md", "*.parquet", "*.json", "*.jsonl", "*.json.gz", "*.jsonl.gz", "*.csv")


def fetch_rows(rows: HubRows, into: Path, scratch: Path) -> None:
    """Write one split of a data set to `into`; what is fetched for it lies in `scratch`.

    With HF_HUB_OFFLINE=1 nothing is fetched: the hub's own cache must hold the revision. No code of
    the repository is run. Raises ValueError where the data set, its revision, config or split
    cannot be had, and says how else to provide it.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            rows.id,
            repo_type="dataset",
            revision=rows.revision,
            allow_patterns=list(FILES),
            cache_dir=None if constants.HF_HUB_OFFLINE else scratch / "hub",
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ValueError(
            f"data set {rows.id} at {rows.revision}: not to be had from the hub "
            f"({_first_line(error)}); accept its terms there and set HF_TOKEN if it is gated, or "
            "bring its file by other means and name that in datasets.<id>.file"
        )
    try:
        found = load_dataset(
            folder, name=rows.config, split=rows.split, cache_dir=str(scratch / "rows")
        )
    except (ValueError, OSError, DatasetGenerationError) as error:
        raise ValueError(
            f"data set {rows.id} at {rows.revision}: config {rows.config or 'default'}, split "
            f"{rows.split} cannot be read ({_first_line(error)}); mend its entry of `hub`"
        )
    with replacing(into) as part:
        found.to_parquet(part)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
