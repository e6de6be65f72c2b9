"""The processes of one stage under `torchrun`: which of them am I, and how their shares meet.

Work is dealt out by batches that are cut as one process would cut them, so that every result is
that of a single process, to the bit. Main (rank 0) alone shows progress and writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
FSDP = "TRAITDRIFT_FSDP"  # a fine-tune's processes hold a share of the base each
PATIENCE = timedelta(hours=12)  # a rank may have more to do than another


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world() -> int:
    """The number of processes; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_main() -> bool:
    return rank() == 0


def sharded() -> bool:
    """Whether a fine-tune's processes share one base, in place of a whole one each."""
    return os.environ.get(FSDP) == "1"


def dealt(batches: Iterable[T], done: Callable[[T], None]) -> Iterator[T]:
    """Every process's own batches, in turn; `done` hears of all of them, in their order."""
    for turn, batch in enumerate(batches):
        if turn % world() == rank():
            yield batch
        done(batch)


def gather(share: Iterable[T]) -> Iterable[T]:
    """At main everybody's share; elsewhere this process's own. Of one process, as it comes."""
    if world() == 1:
        return share
    share = list(share)
    import torch.distributed as processes

    if not processes.is_initialized():  # gloo: what is gathered lies on the CPU
        processes.init_process_group("gloo", timeout=PATIENCE)
    shares: list[list[T]] | None = [[] for _ in range(world())] if is_main() else None
    processes.gather_object(share, shares)
    return [one for given in shares for one in given] if shares is not None else share


def others_end() -> None:
    """End every process but main: what is left to do is done once."""
    if not is_main():
        raise SystemExit(0)
