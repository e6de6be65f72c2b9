"""Every elementwise function is first called on one element, before a stage computes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stages import run
from traitdrift.core.first_calls import FUNCTIONS


class Sizes(TorchDispatchMode):
    """The number of elements of each function's first call, by name and dtype."""

    def __init__(self):
        super().__init__()
        self.first: dict[tuple[str, torch.dtype], int] = {}

    def __torch_dispatch__(self, function, _types, arguments=(), named=None):
        name = function.overloadpacket.__name__
        if name in FUNCTIONS.values():
            self.first.setdefault((name, arguments[0].dtype), arguments[0].numel())
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stage_finds_each_function_settled(dtype, monkeypatch):
    monkeypatch.setattr("sys.argv", ["stages.any"])

    def recipe() -> None:
        for name in FUNCTIONS.values():
            getattr(torch, name)(torch.full((5000,), 0.5, dtype=dtype))

    with Sizes() as sizes:
        recipe()
    assert {sizes.first[name, dtype] for name in FUNCTIONS.values()} == {5000}

    with Sizes() as sizes:
        run(recipe)
    assert {sizes.first[name, dtype] for name in FUNCTIONS.values()} == {1}


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="torch has no MKL here")
@pytest.mark.parametrize("kind", ["s", "d"])  # single and double precision
def test_the_functions_are_all_that_torch_was_linked_with(kind):
    """Vector math has an entry a function, `vmsTanh`; the linker took those that torch calls."""
    (library,) = (Path(torch.__file__).parent / "lib").glob("*torch_cpu.so")
    with library.open("rb") as file:
        head = file.read(2**25)  # the names that a library exports stand at its beginning
    found = set(re.findall(rb"\0vm%s([A-Z][A-Za-z0-9]+)(?=\0)" % kind.encode(), head))
    assert {name.decode() for name in found} == set(FUNCTIONS)
