"""Independent pieces of work on all cores, each computed by one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from traitdrift.core.devices import device

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread, so that the number of threads cannot change a result.

    Sums over several threads round differently, and a method that iterates can carry that into
    another optimum.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `work` makes of each item, in order, as many at a time as torch has threads.

    Each is computed by one thread, so the pieces and not the threads decide how a sum is rounded.
    Pieces on an accelerator, which is parallel in itself, are computed one after the other.
    """
    workers = torch.get_num_threads() if float64_device().type == "cpu" else 1
    with (
        one_thread(),
        # A new thread has torch's default number of threads until it is told.
        ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1)) as pool,
    ):
        yield from pool.map(work, items)


def float64_device() -> torch.device:
    """The device, or the CPU in place of one that does not compute in float64 (Apple's)."""
    chosen = device()
    return torch.device("cpu") if chosen.type == "mps" else chosen
