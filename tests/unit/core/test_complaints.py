"""What is said of an error, in a stage and in a command."""

from __future__ import annotations

import pytest
import torch

from traitdrift import cli
from traitdrift.core.complaints import one_line


def test_memory_that_is_refused_is_one_line_by_whatever_name():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    for error in (caught.value, torch.OutOfMemoryError("CUDA out of memory."), MemoryError()):
        assert (one_line(error) or "").startswith("not enough memory; ")
    assert one_line(RuntimeError("shapes do not match")) is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "traitdrift: not enough memory; "),
        (RecursionError(), "traitdrift: an input is nested too deeply; "),
        (ValueError("a\x1b"), "traitdrift: a\\x1b"),
        (ModuleNotFoundError("no gguf", name="gguf"), "traitdrift: no gguf, which this command"),
    ],
)
def test_a_command_says_what_a_stage_says(monkeypatch, capsys, error: Exception, told: str):
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert said.startswith(told) and said.count("\n") == 1


def test_a_fault_of_this_code_is_shown_whole(monkeypatch):
    monkeypatch.setattr(cli, "app", lambda: {}["x"])
    with pytest.raises(KeyError):
        cli.main()
