"""What a system's refusal is told by, however a library hides it."""

from __future__ import annotations

import errno

from traitdrift.core.writing import complaint, refused


def test_a_refusal_is_found_behind_what_was_raised_from_it():
    inner = OSError(errno.ENOSPC, "No space left on device", "a/b")
    outer = RuntimeError("generating failed")
    outer.__cause__ = inner
    assert refused(outer) == (errno.ENOSPC, "a/b")
    assert complaint(outer) == "a/b: No space left on device; free space on that disk"
    assert refused(ValueError("no space")) is None
    assert refused(OSError(errno.ENOENT, "No such file", "x")) is None


def test_a_chain_that_leads_back_to_itself_ends():
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    assert refused(one) is None
