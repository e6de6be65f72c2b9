"""A block that was let go is taken again without asking the system for its pages."""

from __future__ import annotations

import ctypes
import os
import sys

import commands
import pytest

CODE = """
import resource, sys, torch
from traitdrift.core.allocation import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)
def work():
    for _ in range(20):
        torch.ones(12_000_000)  # 48 MB, of which glibc has no heap by itself
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's malloc")
def test_pages_are_fetched_once():
    def faults(how: str) -> int:
        told = commands.run(
            [sys.executable, "-c", CODE, how],
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ).stdout
        return int(told)

    assert faults("kept") < 100 < 1000 < faults("given back")
