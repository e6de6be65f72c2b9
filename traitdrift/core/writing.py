"""The one way of writing: beside the place, to the disk, and then into the place as a whole."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What a system says when it cannot write, and what helps.
HELP = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space within your quota",
    errno.EFBIG: "raise the limit of the size of files (`ulimit -f`)",
    errno.EROFS: "it is mounted read-only; mount it writable",
    errno.EACCES: "give yourself the right to write there",
    errno.EPERM: "give yourself the right to write there",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "the system has too many files open; end other programs",
    errno.EIO: "look at the disk",
    errno.ENAMETOOLONG: "shorten the name",
}
# What numpy and torch say where less was written than they had.
SHORT = re.compile(r"requested and \d+ written|unexpected pos \d+ vs \d+|basic_ios::clear")
# Beside the place that it is for; the numbers are those of the machine and the process that write.
SCRATCH = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part", re.DOTALL)
_swept: set[Path] = set()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a scratch path beside `path` that takes its place only if the block succeeds.

    What takes the place is on the disk: a machine that loses power has the old file or the new.
    Raises OSError with the path and what helps where the system cannot write it.
    """
    scratch = _beside(path)
    try:
        with telling_where(path, scratch):
            _make_room(path.parent)
            yield scratch
            _settle(scratch)
            os.replace(scratch, path)
            _settle(path.parent)
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder with all that it holds; the scratch folder is there, and empty.

    A ValueError that names the scratch folder, which is gone when it is read, names the path.
    """
    scratch, old = _beside(path), _beside(path)
    try:
        with telling_where(path, scratch):
            _make_room(path.parent)
            scratch.mkdir()
            yield scratch
            for file in scratch.rglob("*"):
                _settle(file)
            if path.exists():
                path.rename(old)  # a folder that holds something is not replaced in one step
            scratch.rename(path)
            _settle(path.parent)
    except ValueError as error:
        if str(scratch) in str(error):
            raise ValueError(str(error).replace(str(scratch), str(path)))
        raise
    finally:
        with suppress(OSError):
            if old.exists() and not path.exists():
                old.rename(path)  # what ended the block came between the two
        for left in (scratch, old) if path.exists() else (scratch,):
            shutil.rmtree(left, ignore_errors=True)


def _beside(path: Path) -> Path:
    writer = f"{machine()}-{os.getpid()}"
    return path.with_name(f".{path.name[:60]}.{writer}-{secrets.token_hex(4)}.part")


def machine() -> str:
    """Eight digits for where a process' number means that process: this host, or container on it.

    A folder may be another one's too: what that one writes looks here as if nobody did.
    """
    name = socket.gethostname()
    with suppress(OSError):  # a system without such spaces
        name += os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _make_room(folder: Path) -> None:
    """Make the folder, and once in a process remove what killed ones left half-written in it.

    Only what this machine's left; what may not be removed stays, and hinders no writing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):
        for left in folder.iterdir():
            named = SCRATCH.fullmatch(left.name)
            if not named or named[1] != machine() or _runs(int(named[2])):
                continue
            with suppress(OSError):
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _settle(path: Path) -> None:
    """Have the system write to the disk what it holds of a file, or a folder's list of files."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of a kind that knows no such thing
            raise
    finally:
        os.close(file)


@contextmanager
def telling_where(path: Path, *scratch: Path) -> Iterator[None]:
    """Where the system cannot write, an OSError that names the path, and what helps."""
    try:
        yield
    except Exception as error:
        refusal = refused(error)
        if refusal is None:
            raise
        number, named = refusal
        own = any(named.startswith(str(one)) for one in (path, *scratch))
        if named and not own and named not in map(str, path.parents):
            raise
        raise OSError(f"{path}: cannot be written ({os.strerror(number)}); {HELP[number]}")


def complaint(error: BaseException) -> str | None:
    """What to say of an exception that comes of the system's refusal to open or write a file."""
    refusal = refused(error)
    if refusal is None:
        return None
    number, named = refusal
    helps = HELP[number]
    if number in (errno.EACCES, errno.EPERM) and not os.access(named or ".", os.R_OK):
        helps = "give yourself the right to read it"
    return f"{named or 'a temporary file'}: {os.strerror(number)}; {helps}"


def refused(error: BaseException) -> tuple[int, str] | None:
    """The system's error number behind an exception, if it is one of `HELP`, and the file's name.

    Libraries hide it: in what they raised it from, in the text, or they keep that they could not
    write all and lose why; that is counted as a lack of space.
    """
    for seen in _chain(error):
        if isinstance(seen, OSError) and seen.errno in HELP:
            return seen.errno, str(seen.filename2 or seen.filename or "")
        if type(seen).__name__ == "SafetensorError":
            told = re.search(r"\(os error (\d+)\)", str(seen))
            if told and int(told[1]) in HELP:
                return int(told[1]), ""
        if isinstance(seen, (OSError, RuntimeError)) and SHORT.search(str(seen)):
            return errno.ENOSPC, ""
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and those that it comes from, each once: a chain may lead back to itself."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found
