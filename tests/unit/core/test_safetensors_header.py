"""Headers that lie about their file, each of which is one line that names it."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from cases import case, cases
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from traitdrift.core.files import load_tensors, stored_tensors, weights_digest
from traitdrift.core.safetensors_header import read_header

GOOD = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
DATA = bytes(16)


def write(path: Path, header: object, data: bytes = DATA, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(**changes: object) -> dict[str, object]:
    return {"a": {**GOOD, **changes}}


TWO = {"a": GOOD, "b": {**GOOD, "data_offsets": [16, 32]}}
# name: (header, data, what the line says)
LIES: dict[str, tuple[object, bytes, str]] = {
    "a list": ([], DATA, "a JSON list, not an object"),
    "null": (b"null", DATA, "a JSON NoneType"),
    "no JSON": (b"{", DATA, "not JSON"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), DATA, "no UTF-8"),
    "not UTF-8": (b'{"\xff": 1}', DATA, "no UTF-8"),
    "nested lists": (b"[" * 100_000, DATA, "nested too deep"),
    "nested in metadata": (b'{"__metadata__":' * 50_000, DATA, "nested too deep"),
    "NaN": (b'{"a": NaN}', DATA, "NaN is no number"),
    "a number of 5000 digits": (b'{"a": ' + b"1" * 5000 + b"}", DATA, "header"),
    "a name twice": (b'{"a": 1, "a": 2}', DATA, "a key stands twice"),
    "a field twice": (b'{"a": {"dtype": "F32", "dtype": "F16"}}', DATA, "a key stands twice"),
    "no entry": ({"a": 3}, DATA, "has not a dtype"),
    "a field more": (entry(more=1), DATA, "has not a dtype"),
    "a dtype that is none": (entry(dtype="F33"), DATA, "unknown dtype"),
    "a dtype that is a list": (entry(dtype=["F32"]), DATA, "unknown dtype"),
    "a shape that is an object": (entry(shape={}), DATA, "no shape"),
    "an axis below 0": (entry(shape=[-2, -2]), DATA, "no shape"),
    "an axis that is true": (entry(shape=[True, 4]), DATA, "no shape"),
    "an axis of a float": (entry(shape=[2.0, 2]), DATA, "no shape"),
    "many axes": (entry(shape=[4] + [1] * 40), DATA, "no shape"),
    "axes whose product overflows": (entry(shape=[2**32, 2**32, 2**32]), DATA, "has 16 bytes"),
    "an axis of 2^63": (entry(shape=[2**63, 0]), DATA, "no shape"),
    "offsets backwards": (entry(data_offsets=[16, 0]), DATA, "has -16 bytes"),
    "offsets of true": (entry(data_offsets=[False, 16]), DATA, "no data_offsets"),
    "one offset": (entry(data_offsets=[16]), DATA, "no data_offsets"),
    "beyond the file": (entry(), DATA[:-1], "its tensors end at byte"),
    "more than its tensors": (entry(), DATA + b"x", "its tensors end at byte"),
    "a hole": ({"a": GOOD, "b": {**GOOD, "data_offsets": [20, 36]}}, bytes(36), "begins at byte"),
    "an overlap": ({"a": GOOD, "b": GOOD}, DATA, "begins at byte"),
    "an escape in a name": ({"a\x1b[2J": GOOD}, DATA, "no plain text"),
    "a line end in a name": ({"a\nb": GOOD}, DATA, "no plain text"),
    "half a character in a name": (b'{"\\ud800": {}}', DATA, "no plain text"),
    "a name without end": ({"a" * 5000: GOOD}, DATA, "no plain text"),
    "metadata of numbers": ({"__metadata__": {"a": 1}, **entry()}, DATA, "its metadata"),
    "metadata that is an empty list": ({"__metadata__": [], **entry()}, DATA, "its metadata"),
    "metadata that is 0": ({"__metadata__": 0, **entry()}, DATA, "its metadata"),
    "metadata that is a text": ({"__metadata__": "x", **entry()}, DATA, "its metadata"),
}


def refused(path: Path) -> str:
    """The one line of each reader, which is the same."""
    lines = set()
    for reader in (
        read_header,
        stored_tensors,
        load_tensors,
        lambda file: weights_digest([file]),
    ):
        with pytest.raises(ValueError) as told:
            reader(path)
        lines.add(str(told.value))
    (line,) = lines
    assert str(path) in line and "\n" not in line and "\x1b" not in line and len(line) < 500
    return line


@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_is_one_line(name: str, tmp_path: Path):
    header, data, told = LIES[name]
    assert told in refused(write(tmp_path / "x.safetensors", header, data))


@pytest.mark.parametrize("length", [0, 2**40, 2**63, 2**64 - 1, 1000])
def test_a_length_that_lies_is_one_line(length: int, tmp_path: Path):
    refused(write(tmp_path / "x.safetensors", entry(), length=length))


@pytest.mark.parametrize("size", range(8))
def test_a_file_of_a_few_bytes_is_one_line(size: int, tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(bytes(size))
    assert "before its header" in refused(path)


def test_a_header_larger_than_any_is_not_read(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:  # a file with a hole
        file.write(struct.pack("<Q", 2**36))
        file.truncate(2**37)
    assert "bytes" in refused(path)


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        assert "not a regular file" in refused(tmp_path / name)


@pytest.mark.parametrize("name", cases("hostile/safetensors"))
def test_a_file_of_the_cases_is_one_line(name: str):
    refused(case(f"hostile/safetensors/{name}") / "adapter_model.safetensors")


def test_what_the_library_writes_is_read(tmp_path: Path):
    tensors = {
        "a": torch.ones(2, 3),
        "none": torch.empty(0, 4, dtype=torch.bfloat16),
        "scalar": torch.tensor(1, dtype=torch.int64),
        "bytes": torch.zeros(3, dtype=torch.uint8),
        "eight": torch.zeros(5, dtype=torch.float8_e4m3fn),
    }
    save_file(tensors, tmp_path / "x.safetensors", {"k": "v"})
    header = read_header(tmp_path / "x.safetensors")
    assert {n: e.shape for n, e in header.tensors.items()} == {
        n: t.shape for n, t in tensors.items()
    }
    assert header.metadata == {"k": "v"}
    loaded = load_file(tmp_path / "x.safetensors")
    assert all(
        torch.equal(loaded[n], t) for n, t in stored_tensors(tmp_path / "x.safetensors").items()
    )
    save_file({}, tmp_path / "empty.safetensors")
    assert read_header(tmp_path / "empty.safetensors").tensors == {}


def test_a_tensor_in_two_files_is_refused(tmp_path: Path):
    for name in "ab":
        save_file({"t": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match=r"t is in a\.safetensors too"):
        weights_digest([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v)
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "F4", "BOOL"]) | VALUES,
        "shape": st.lists(st.integers(-1, 5), max_size=3) | VALUES,
        "data_offsets": st.lists(st.integers(-1, 20), max_size=3) | VALUES,
    },
)
HEADERS = st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), FIELDS | VALUES)
WHOLE = save({"a": torch.ones(2, 2), "b": torch.zeros(3)}, {"traitdrift": "{}"})
SIGNS = [b"{", b"}", b"[", b'"', b":", b",", b"-", b"1e9", b"9" * 30, b"null", b"\xff", b"\\u0000"]
CUTS = st.tuples(
    st.integers(0, len(WHOLE)), st.integers(0, 12), st.binary(max_size=8) | st.sampled_from(SIGNS)
)


@given(
    st.lists(CUTS, max_size=3) | st.tuples(HEADERS, st.binary(max_size=24)) | st.binary(max_size=64)
)
def test_any_bytes_are_a_header_or_one_line(tmp_path: Path, made):
    path = tmp_path / "x.safetensors"
    if isinstance(made, tuple):
        write(path, json.dumps(made[0]).encode(), made[1])
    else:
        data = made if isinstance(made, bytes) else WHOLE
        for place, gone, new in [] if isinstance(made, bytes) else made:
            data = data[:place] + new + data[place + gone :]
        path.write_bytes(data)
    try:
        header = read_header(path)
        assert sum(e.end - e.start for e in header.tensors.values()) <= path.stat().st_size
        # A type of the format that torch lacks is refused here.
        assert stored_tensors(path).keys() == header.tensors.keys()
    except ValueError as error:
        assert "\n" not in str(error)
