from __future__ import annotations

import pytest
import torch

from traitdrift.core.devices import DEVICE, device

NO_ACCELERATOR = not torch.accelerator.is_available()


def test_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.delenv(DEVICE, raising=False)
    assert device().type == (
        "cpu" if NO_ACCELERATOR else torch.accelerator.current_accelerator().type
    )
    monkeypatch.setenv(DEVICE, "cpu")
    assert device() == torch.device("cpu")


@pytest.mark.skipif(not NO_ACCELERATOR, reason="an accelerator is here")
@pytest.mark.parametrize("asked", ["cuda", "cuda:3", "mps", "xpu"])
def test_a_device_that_is_absent_is_an_error(asked, monkeypatch):
    monkeypatch.setenv(DEVICE, asked)
    with pytest.raises(ValueError, match=rf"^{DEVICE}={asked}: torch finds only the CPU here"):
        device()


def test_a_device_of_no_such_name_is_an_error(monkeypatch):
    monkeypatch.setenv(DEVICE, "gpu0")
    with pytest.raises(ValueError, match=rf"^{DEVICE}='gpu0': no device; give cpu"):
        device()
