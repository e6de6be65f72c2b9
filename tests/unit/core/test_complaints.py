"""What is said of an error, in a stage and in a command."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

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


def as_nobody(work: Callable[[], str | None]) -> str:
    """What `work` gives where it has no more rights than any user."""
    readable, writable = os.pipe()
    if not (child := os.fork()):
        if os.geteuid() == 0:
            os.setuid(65534)
        os.write(writable, str(work()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writable)
    with os.fdopen(readable) as told:
        return told.read()


@pytest.mark.parametrize(("mode", "right"), [(0o000, "read it"), (0o444, "write there")])
def test_a_right_that_is_missing_is_told_by_what_it_is_for(mode: int, right: str):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "x"
        path.touch(mode)

        def opened() -> str | None:
            try:
                path.open("r" if right == "read it" else "w")
            except OSError as error:
                return one_line(error)
            return "opened"

        told = as_nobody(opened)
    assert told == f"{path}: Permission denied; give yourself the right to {right}"


def test_wrong_input_speaks_for_itself_unless_a_refusal_is_its_cause():
    refusal = PermissionError(errno.EACCES, "Permission denied", "x")
    try:
        raise refusal
    except OSError:
        with pytest.raises(ValueError) as met:
            raise ValueError("x.yaml: no key `a`; add it")
    assert met.value.__context__ is refusal
    assert one_line(met.value) == "x.yaml: no key `a`; add it"
    met.value.__cause__ = OSError(errno.ENOSPC, "No space left on device", "y")
    assert one_line(met.value) == "y: No space left on device; free space on that disk"
