"""What a reader of any file at all may do: read it, or refuse it by one line, at once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

from traitdrift.core.text import ACTING

SECONDS = 5  # of the processor's work
LONGEST = 2000  # characters of the line


def refused(path: Path, reader: Callable[[], object]) -> str | None:
    """The one line, which begins with the file's name; None where the reader reads it."""
    began, line = time.process_time(), None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader()
    except ValueError as error:
        line = str(error)
        assert line.startswith(str(path)) and not ACTING.search(line), line
        assert len(line) < LONGEST, line
    assert time.process_time() - began < SECONDS
    return line
