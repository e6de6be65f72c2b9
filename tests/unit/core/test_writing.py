"""What a system's refusal is told by, however a library hides it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from traitdrift.core.writing import complaint, refused, replacing_folder


def test_a_refusal_is_found_behind_what_was_raised_from_it():
    inner = OSError(errno.ENOSPC, "No space left on device", "a/b")
    outer = RuntimeError("generating failed")
    outer.__cause__ = inner
    assert refused(outer) == (errno.ENOSPC, "a/b")
    assert complaint(outer) == "a/b: No space left on device; free space on that disk"
    assert refused(ValueError("no space")) is None
    assert refused(OSError(errno.ENOENT, "No such file", "x")) is None


def test_a_fault_within_a_folder_names_where_it_would_lie(tmp_path: Path):
    with (
        pytest.raises(ValueError, match=rf"^{tmp_path}/model: no x in {tmp_path}/model/y$"),
        replacing_folder(tmp_path / "model") as scratch,
    ):
        raise ValueError(f"{scratch}: no x in {scratch / 'y'}")
    assert not [*tmp_path.iterdir()]


def test_a_chain_that_leads_back_to_itself_ends():
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    assert refused(one) is None


class Ended(BaseException):
    """What a signal becomes."""


@pytest.mark.parametrize("failure", [OSError(errno.EACCES, "Permission denied"), Ended()])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_folder_that_is_not_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, renamed: bool
):
    """Whether the second renaming fails, or a signal comes between the two."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self == path and renamed:
            rename(self, target)
            raise failure
        if target == path and not (path.exists() or renamed or failure in raised):
            raised.append(failure)
            raise failure
        return rename(self, target)

    raised: list[BaseException] = []
    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises((OSError, Ended)), replacing_folder(path) as scratch:
        (scratch / "new").touch()
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
    assert [one.name for one in path.iterdir()] == ["old"]
