"""Progress bars on long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from traitdrift.core.ranks import is_main


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs; gives the function that advances it.

    Of the processes of one stage main alone shows it.
    """
    from tqdm import tqdm

    with tqdm(
        total=total, desc=what, mininterval=1.0, dynamic_ncols=True, disable=not is_main()
    ) as bar:
        yield bar.update
