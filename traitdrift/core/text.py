"""Text that comes in: decoded in one place, broken into lines in one place, shown in one way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Byte order marks of what is not UTF-8; UTF-32's begins as UTF-16's does.
FOREIGN = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# Line ends as such: none of the other characters that str.splitlines breaks at (U+2028, U+0085,
# form feed, ...), which are part of a text.
LINE_END = re.compile("\r\n|\n|\r")
# What acts on a terminal instead of showing there: control characters and those that turn a
# line's direction or end it.
ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def printable(text: str) -> str:
    """A text for a message on one line: white space as single spaces, other signs as escapes."""
    return ACTING.sub(lambda found: ascii(found[0])[1:-1], " ".join(text.split()))


def foreign_encoding(head: bytes) -> str | None:
    """The encoding that a file's first bytes name, if it is not UTF-8."""
    return next((name for mark, name in FOREIGN.items() if head.startswith(mark)), None)


def refuse_foreign(path: Path, head: bytes) -> None:
    """Raise ValueError if a file's first bytes are the mark of UTF-16 or UTF-32."""
    if name := foreign_encoding(head):
        raise ValueError(f"{path}: a text in {name}; save it as UTF-8")


def refuse_endless(path: Path) -> None:
    """Raise ValueError for what is there and no file: a device or a pipe would be read for ever."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: not a regular file; put the file itself there")


def read_text(path: Path) -> str:
    """A file's text in UTF-8, without a byte order mark, line ends as they are.

    Raises ValueError naming file, line and encoding where it is no such text: another encoding, a
    NUL (UTF-16 without its mark, or no text at all), no regular file.
    """
    refuse_endless(path)
    content = path.read_bytes()
    refuse_foreign(path, content[:4])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{number}: not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        )
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}:{number}: a NUL in the text; save it as plain text in UTF-8")
    return text


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers from 1, white space at both ends taken off.

    Empty ones are left out. Errors are those of `read_text`.
    """
    for number, line in enumerate(LINE_END.split(read_text(path)), start=1):
        if line.strip():
            yield number, line.strip()
