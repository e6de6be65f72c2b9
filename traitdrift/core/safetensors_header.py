"""The one reader of safetensors headers: bounded, and checked against the file.

A file is eight bytes of length, a header of JSON, and the tensors' bytes (the format's own
description: github.com/huggingface/safetensors, "Format"). Whatever reads a safetensors file here
reads this header first, so that no other reader meets one that lies about the file.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from traitdrift.core.strict_json import json_object_of

# Bytes of a header, of 200,000 tensors with room to spare; Python needs some ten times as many.
LONGEST = 32 * 1024 * 1024
LONGEST_NAME = 1024
MOST_AXES = 16
BITS = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


@dataclass(frozen=True)
class Entry:
    """A tensor of the file: its type, shape, and the bytes `start` to `end` of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    metadata: dict[str, str]
    tensors: dict[str, Entry]


def read_header(path: Path) -> Header:
    """The header of a safetensors file.

    Raises ValueError where the file is not a regular one, or its header is longer than the file or
    LONGEST, is not JSON, names a tensor twice or unprintably, or its tensors do not fill the rest
    of the file, each as long as its type and shape say.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError(f"{path}: not a regular file; give a safetensors file")
        try:
            length, values = _parsed(file, file.read(8), facts.st_size)
            return _checked(values, 8 + length, facts.st_size)
        except ValueError as error:
            raise ValueError(
                f"{path}: no safetensors file, or a damaged one ({error}); fetch it again"
            )


def read_metadata(file: BinaryIO, start: bytes) -> dict[str, str]:
    """The metadata of a safetensors file of which the first eight bytes are read.

    Raises ValueError as `read_header` does; the tensors are not looked at.
    """
    return _metadata(_parsed(file, start, None)[1])


def _without_waiting(path: str, flags: int) -> int:
    """A pipe under a file's name would keep whoever opens it waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _parsed(file: BinaryIO, start: bytes, size: int | None) -> tuple[int, dict[str, Any]]:
    if len(start) < 8:
        raise ValueError("it ends before its header")
    length = int.from_bytes(start, "little")
    if length > LONGEST or (size is not None and length > size - 8):
        raise ValueError(f"its header is said to have {length} bytes")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("it ends within its header")
    try:
        return length, json_object_of(text)
    except ValueError as error:
        raise ValueError(f"its header: {error}")


def _metadata(values: dict[str, Any]) -> dict[str, str]:
    found = values.get("__metadata__")
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError("its metadata is not a mapping of texts")
    return found


def _checked(values: dict[str, Any], origin: int, size: int) -> Header:
    tensors = {
        name: _entry(name, entry, origin)
        for name, entry in values.items()
        if name != "__metadata__"
    }
    place = origin
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != place:
            raise ValueError(f"{name} begins at byte {entry.start}, not at {place}")
        place = entry.end
    if place != size:
        raise ValueError(f"its tensors end at byte {place}, the file at {size}")
    return Header(_metadata(values), tensors)


def _entry(name: str, entry: Any, origin: int) -> Entry:
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(f"the name {name[:40]!r} of a tensor is no plain text")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} has not a dtype, a shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(f"{name} has an unknown dtype {str(dtype)[:20]!r}")
    if not _counts(shape) or len(shape) > MOST_AXES:
        raise ValueError(f"{name} has no shape {str(shape)[:40]!r}")
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{name} has no data_offsets {str(offsets)[:40]!r}")
    bits = BITS[dtype] * math.prod(shape)
    if bits != 8 * (offsets[1] - offsets[0]):
        raise ValueError(
            f"{name} has {offsets[1] - offsets[0]} bytes, {dtype} of shape {shape} has {bits / 8:g}"
        )
    return Entry(dtype, tuple(shape), origin + offsets[0], origin + offsets[1])


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 2**63 for value in values
    )
