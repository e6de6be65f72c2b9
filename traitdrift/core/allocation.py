"""Memory that one step has let go is there for the next.

glibc gives large blocks back to the system at once, and trims the end of its heap. A step of
decoding takes and lets go the same megabytes dozens of times, and each page of them is then
fetched, and zeroed, again: on a virtual machine a third of the time of 96 rows (bench/NOTES.md).
"""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h, and in bytes: blocks up to a gigabyte come from the heap, whose free end is
# given back from two gigabytes on, and which grows by 64 MB at a time.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
SETTINGS = {M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}


def keep_freed_memory() -> None:
    """Tell glibc so; where the C library is another, nothing is done."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; on Windows no such library
        return
    for parameter, value in SETTINGS.items():
        mallopt(parameter, value)
