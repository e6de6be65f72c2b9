"""data/hub/<data set>.parquet: rows of a data set on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.temporary import temporary_folder
from traitdrift.data.hub import fetch_rows
from traitdrift.data.settings import HubRows

OUT = Path("data/hub")


def main(name: str) -> None:
    with temporary_folder() as scratch:
        fetch_rows(section(HubRows, f"hub.{name}"), OUT / f"{name}.parquet", scratch)


if __name__ == "__main__":
    run(main)
