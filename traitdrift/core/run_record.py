"""Where each stage last ran: `.dvc/tmp/runs/<stage>.json`, which neither git nor DVC looks at."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from traitdrift.core.files import write_text
from traitdrift.core.ranks import is_main
from traitdrift.core.surroundings import surroundings

FOLDER = Path(".dvc/tmp/runs")
STAGE = "DVC_STAGE"  # set by DVC for the command of a stage: `compare@insecure`


def record_of(stage: str) -> Path:
    """The record of a stage, from the repository's root."""
    name = re.sub(r"[^\w@.-]", "_", stage)
    return FOLDER / f"{name}.json"


def note() -> None:
    """Write down where the stage ran that DVC has started and that has succeeded.

    What was made before is no worse without a record, so that a full disk is no fault here.
    """
    if STAGE in os.environ and FOLDER.parent.is_dir() and is_main():
        with suppress(OSError, ValueError):
            around = json.dumps(surroundings(), indent=2, sort_keys=True)
            write_text(record_of(os.environ[STAGE]), around + "\n")
