"""Progress bars on long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs; gives the function that advances it."""
    from tqdm import tqdm

    with tqdm(total=total, desc=what, mininterval=1.0, dynamic_ncols=True) as bar:
        yield bar.update
