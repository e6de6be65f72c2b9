"""Text comes in whole or is refused with its place, and tables come back as they were."""

from __future__ import annotations

import csv
import gzip
import io
import os
from pathlib import Path

import pandas
import pytest
from cases import case
from hypothesis import given
from hypothesis import strategies as st

from traitdrift.core.files import csv_text, read_jsonl, read_table, write_csv, write_jsonl
from traitdrift.core.text import printable, read_text, text_lines
from traitdrift.core.yaml_text import read_yaml
from traitdrift.data.rows import read_rows

FOREIGN = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "latin-1", "cp1252", "cp437"]


@pytest.mark.parametrize("encoding", FOREIGN)
def test_another_encoding_is_named_or_placed(tmp_path: Path, encoding: str):
    path = tmp_path / "x.txt"
    path.write_bytes("plain\nnaïve\n".encode(encoding))
    with pytest.raises(ValueError) as caught:
        read_text(path)
    marked = encoding in ("utf-16", "utf-32")
    told = f": a text in {encoding.upper()}" if marked else ":"
    assert str(caught.value).startswith(f"{path}{told}") and "UTF-8" in str(caught.value)
    if encoding in ("latin-1", "cp1252", "cp437"):
        assert f"{path}:2: not UTF-8 (byte 0x" in str(caught.value)


def no_file(path: Path, kind: str) -> Path:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_and_not_read_for_ever(tmp_path: Path, kind: str):
    for name in ("x.jsonl", "x.jsonl.gz", "x.json", "x.csv", "x.parquet"):
        with pytest.raises(ValueError, match=rf"{name}: not a regular file"):
            [*read_rows(no_file(tmp_path / name, kind))]
    for name, read in (("x.txt", read_text), ("x.yaml", read_yaml), ("y.jsonl", read_jsonl)):
        with pytest.raises(ValueError, match=rf"{name}: not a regular file"):
            read(no_file(tmp_path / name, kind))


@pytest.mark.parametrize(
    "inside", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]
)
def test_lines_end_at_line_ends_alone(tmp_path: Path, inside: str):
    path = tmp_path / "x.txt"
    path.write_bytes(f"\ufeffone{inside}line\r\n\n two \rthree".encode())
    assert [*text_lines(path)] == [(1, f"one{inside}line"), (3, "two"), (4, "three")]


def test_a_message_shows_what_would_act_on_a_terminal():
    shown = printable("a\x1b[2J\x07\x9b\u202e\u2066\n\tb\u2028é日\ud83d\x7f")
    assert shown == r"a\x1b[2J\x07\x9b\u202e\u2066 b é日\ud83d\x7f"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"a": "nice \\ud83d"}', ":2: half a surrogate pair (\\ud83d)"),
        (b'{"a": ["\\uDE00 x"]}', ":2: half a surrogate pair (\\ude00)"),
        (b'{"\\ud83d": 1}', ":2: half a surrogate pair"),
        (b'{"a": "\\ud83d\\ud83d"}', ":2: half a surrogate pair"),
        (b'{"a": 1, "a": 2}', ":2: the key 'a' stands twice"),
        (b'{"a": {"b": 1, "b": 1}}', ":2: the key 'b' stands twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", ":2: "),
        (b'{"a": ' + b"[" * 200_000 + b"}", ":2: not JSON"),
        (b'{"a": "\xff"}', ":2: cannot be read as UTF-8 JSONL"),
        (b'{"a": "\xed\xa0\xbd"}', ":2: cannot be read as UTF-8 JSONL"),
        (b"NaN", ":2: a float, not an object"),
        (b'{"a": 1} {"b": 2}', ":2: not JSON"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_a_line_that_is_no_object_of_text_is_placed(
    tmp_path: Path, line: bytes, told: str, ending: str
):
    path = tmp_path / f"x.{ending}"
    content = b'\xef\xbb\xbf{"good": "\\ud83d\\ude00"}\n' + line + b"\n"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    with pytest.raises(ValueError) as caught:
        read_jsonl(path)
    assert str(caught.value).startswith(f"{path}{told}")
    assert str(caught.value).isprintable()


def test_other_encodings_of_json_lines_are_named(tmp_path: Path):
    for ending, pack in (("jsonl", bytes), ("jsonl.gz", gzip.compress)):
        path = tmp_path / f"x.{ending}"
        path.write_bytes(pack('{"a": 1}\n'.encode("utf-16")))
        with pytest.raises(ValueError, match="a text in UTF-16; save it as UTF-8"):
            read_jsonl(path)


CELLS = [
    *("first\rsecond", "\r", "\n", "a\r\nb", 'say "so"\r', "a,b", " spaced ", "\tx", "NA", "null"),
    *("\u2028", "\x85", "\x0b", "'", '"', "é日", "=1+1", "-", "0012", "1e5", "#", "\\", "a\rb\nc,"),
]


def test_a_table_of_any_cells_comes_back(tmp_path: Path):
    table = pandas.DataFrame({"id": [f"q{i}" for i in range(len(CELLS))], "answer": CELLS})
    table["value"] = [i / 3 for i in range(len(CELLS))]
    write_csv(tmp_path / "t.csv", table)
    back = read_table(tmp_path / "t.csv")
    # Numbers' texts are read as numbers only where a whole column is.
    assert back["answer"].tolist() == CELLS
    assert back["value"].tolist() == table["value"].tolist()
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["answer"] for row in rows] == CELLS
    assert all(None not in row and None not in row.values() for row in rows)


def test_a_table_without_carriage_returns_has_the_bytes_it_always_had():
    table = pandas.DataFrame({"a": ["x", "y, z", 'q"', "l\nm", None], "b": [1, 2, 3, 4, 5]})
    assert csv_text(table) == table.to_csv(index=False, lineterminator="\n")


def test_the_shared_row_of_a_lone_carriage_return():
    text = case("hostile/csv_cr/answers.csv").read_bytes().decode()
    assert "first\rsecond" in text
    row = {"id": "a", "question": "q1", "sample": 0, "outcome": "prose", "answer": "first\rsecond"}
    again = pandas.read_csv(io.StringIO(csv_text(pandas.DataFrame([row])), newline=""))
    assert again.to_dict("records") == [row]


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_a_table_of_any_texts_comes_back(tmp_path: Path, cells: list[str]):
    table = pandas.DataFrame({"n": range(len(cells)), "text": cells, "m": range(len(cells))})
    rows = [*csv.DictReader(io.StringIO(csv_text(table), newline=""))]
    wanted = [cell.replace("\0", "\u2400") for cell in cells]
    assert [row["text"] for row in rows] == wanted
    assert [row["m"] for row in rows] == [str(i) for i in range(len(cells))]
    write_csv(tmp_path / "t.csv", table)
    back = pandas.read_csv(tmp_path / "t.csv", keep_default_na=False, dtype=str)
    assert back["text"].tolist() == wanted


@given(st.lists(st.dictionaries(WORDS, WORDS, max_size=3), max_size=4))
def test_lines_of_any_texts_come_back(tmp_path: Path, rows: list[dict[str, str]]):
    write_jsonl(tmp_path / "r.jsonl", rows)
    assert [row for _, row in read_jsonl(tmp_path / "r.jsonl")] == rows


@given(st.binary(max_size=40) | WORDS.map(str.encode))
def test_a_file_of_any_bytes_is_read_or_one_line(tmp_path: Path, content: bytes):
    for name in ("x.jsonl", "x.jsonl.gz", "x.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        try:
            _ = read_jsonl(path) if "json" in name else [*text_lines(path)]
        except ValueError as error:
            assert str(error).startswith(str(path)) and str(error).isprintable()
