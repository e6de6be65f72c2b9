"""The one printer of errors: which exceptions are not faults of this code, and the line of each."""

from __future__ import annotations

import re

from traitdrift.core.writing import complaint

# What torch says where it has no class for it: of a processor's memory, and of some devices'.
NO_MEMORY = re.compile(r"can't allocate memory|out of memory")


def one_line(error: Exception) -> str | None:
    """What is said of wrong input and of a system that refuses; None for a fault of this code."""
    if isinstance(error, OSError) and error.errno is None and str(error):
        return str(error)  # which says already what helps
    # So does wrong input, also where a refusal was met on the way to it and is not its cause.
    refusal = error.__cause__ and complaint(error.__cause__)
    if isinstance(error, ValueError) and str(error) and not refusal:
        return str(error)
    if found := complaint(error):
        return found
    if out_of_memory(error):
        return "not enough memory; `python -m traitdrift plan` says what each stage needs"
    if isinstance(error, RecursionError):
        return "an input is nested too deeply; TRAITDRIFT_DEBUG=1 shows where it was read"
    return str(error) if isinstance(error, (ValueError, OSError)) else None


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused, a device's too; torch's classes are known by name, unimported."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and bool(NO_MEMORY.search(str(error)))


def panic(error: BaseException) -> bool:
    """Whether a library in Rust gave up over what it read, of which pyo3 makes no Exception."""
    return type(error).__name__ == "PanicException"
