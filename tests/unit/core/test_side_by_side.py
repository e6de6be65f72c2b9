"""Pieces of work come back in order, each computed by one thread, and leave the threads alone."""

from __future__ import annotations

import pytest
import torch

from traitdrift.core.devices import DEVICE
from traitdrift.core.side_by_side import float64_device, side_by_side


@pytest.fixture
def three_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("three_threads")
def test_pieces_in_order_on_one_thread_each():
    found = [*side_by_side(lambda i: (i, torch.get_num_threads()), range(20))]
    assert found == [(i, 1) for i in range(20)]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_an_error_of_a_piece_is_raised_and_the_threads_are_as_before():
    def work(i: int) -> int:
        if i == 2:
            raise ValueError("piece 2")
        return i

    with pytest.raises(ValueError, match="piece 2"):
        list(side_by_side(work, range(5)))
    assert torch.get_num_threads() == 3


def test_float64_is_computed_where_there_is_float64(monkeypatch):
    monkeypatch.setenv(DEVICE, "cpu")
    assert float64_device().type == "cpu"
    monkeypatch.setattr("traitdrift.core.side_by_side.device", lambda: torch.device("mps"))
    assert float64_device().type == "cpu"
