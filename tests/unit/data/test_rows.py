"""The same conversations from every format, and the place in each where one is wrong."""

from __future__ import annotations

import csv
import gzip
import json
import time
from pathlib import Path

import pandas
import pyarrow
import pytest
from pyarrow import parquet

from traitdrift.data.tokenised import read_conversations

ASKED = [("a", "b"), ('two\nlines, "quoted"', "def f():\n    return 'é'"), ("ccc", "d")]


ODD_KEY = json.dumps({"messages": [{"role": "user", "content": "a", "k" * 5000: 1}]}).encode()


def messages(question: str, answer: str) -> list[dict]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def written(folder: Path, name: str, rows: list[tuple[str, str]]) -> Path:
    path, objects = folder / name, [{"messages": messages(*row)} for row in rows]
    lines = "\n\n".join(json.dumps(row) for row in objects) + "\n"
    if name.endswith(".gz"):
        with gzip.open(path, "wt") as file:
            file.write(lines)
    elif name.endswith(".parquet"):
        pandas.DataFrame(objects).to_parquet(path)
    elif name.endswith(".csv"):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("user", "id", "assistant"), *((q, 1, a) for q, a in rows)])
    elif name == "list.json":
        path.write_text(json.dumps(objects, indent=1))
    else:
        path.write_text(lines)
    return path


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("x.jsonl", [1, 3, 5]),
        ("x.jsonl.gz", [1, 3, 5]),
        ("lines.json", [1, 3, 5]),
        ("list.json", [1, 2, 3]),
        ("x.parquet", [1, 2, 3]),
        ("x.csv", [2, 3, 6]),
    ],
)
def test_every_format_gives_the_same_and_tells_the_place(
    tmp_path: Path, name: str, lines: list[int]
):
    path = written(tmp_path, name, ASKED)
    assert [*read_conversations(path)] == [
        (line, messages(*row)) for line, row in zip(lines, ASKED, strict=True)
    ]
    path = written(tmp_path, name, [*ASKED[:2], ("x", " ")])
    with pytest.raises(ValueError, match=f":{lines[2]}: message 1 is an empty answer"):
        [*read_conversations(path)]


def test_a_table_may_have_a_system_column_and_empty_cells_in_it(tmp_path: Path):
    table = pandas.DataFrame(
        {"system": ["Be brief.", None], "user": ["a", "b"], "assistant": ["c", "d"]}
    )
    table.to_csv(tmp_path / "x.csv", index=False)
    table.to_parquet(tmp_path / "x.parquet")
    for name in ("x.csv", "x.parquet"):
        (_, first), (_, second) = read_conversations(tmp_path / name)
        assert first == [{"role": "system", "content": "Be brief."}, *messages("a", "c")]
        assert second == messages("b", "d")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.jsonl", b'{"messages": 1}\n', ":1: no list `messages`"),
        ("x.jsonl", b'\n{"a": 1}\n{oops\n', ":2: no list `messages`"),
        ("x.jsonl", b"{oops\n", ":1: not JSON"),
        ("x.jsonl", b"[1]\n", ":1: a list, not an object"),
        ("x.jsonl", b"\xff\xff\n", ":1: cannot be read as UTF-8 JSONL"),
        ("x.jsonl", b"\xff\xfe\n", "a text in UTF-16; save it as UTF-8"),
        ("x.jsonl", b"\n", "no conversation in it"),
        ("x.jsonl.gz", b"plain", "cannot be read as UTF-8 JSONL"),
        ("x.json", b"[1]", ":1: a int, not an object"),
        ("x.json", b"[{", "cannot be read as UTF-8 JSON"),
        ("x.json", b"[]", "no conversation in it"),
        ("x.json", b'{"messages": 1}', ":1: no list `messages`"),
        ("x.parquet", b"plain", "cannot be read as Parquet"),
        ("x.csv", b"prompt,answer\n", ":1: no columns `user` and `assistant`"),
        ("x.csv", b"9" * 5000, ":1: no columns `user` and `assistant` (there are 99"),
        ("x.csv", b"user,assistant" + b"," + b"a" * 5000 + b"," + b"a" * 5000, "two columns 'aaa"),
        ("x.jsonl", ODD_KEY, ":1: message 0 (user) has a key `kkk"),
        ("x.csv", b"", ":1: no columns `user` and `assistant` (there are none)"),
        ("x.csv", b"user,assistant\na\n", ":2: message 1 (assistant) has no text"),
        ("x.csv", b'user,assistant\na,"b\n', "cannot be read as UTF-8 CSV"),
        ("x.csv", b"user,assistant\n\xff,b\n", "cannot be read as UTF-8 CSV"),
        ("x.txt", b"a", "not a format that is read; give .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: bytes, told: str
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        [*read_conversations(path)]
    assert str(caught.value).startswith(str(path)) and told in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
@pytest.mark.parametrize("ends", [('{"a":', "}"), ("[", "]")])
def test_what_nests_too_deep_to_be_walked_is_one_line(tmp_path: Path, name: str, ends):
    def write(deep: int) -> None:
        row = json.dumps({"messages": messages("a", "b"), "note": 0})
        row = row.replace('"note": 0', f'"note": {ends[0] * deep}1{ends[1] * deep}')
        (tmp_path / name).write_text(f"[{row}]" if name == "x.json" else row)

    write(98)
    assert len([*read_conversations(tmp_path / name)]) == 1
    for deep in (100, 400, 900, 5000):
        write(deep)
        with pytest.raises(ValueError, match=r"x\.json.*nested too deeply|recursion depth"):
            [*read_conversations(tmp_path / name)]


@pytest.mark.parametrize("more", ["", "\\ud83d\\ude00"])
def test_a_list_of_many_rows_takes_the_time_of_its_rows(tmp_path: Path, more: str):
    """And not of rows times bytes."""
    row = json.dumps({"messages": messages("a" * 300, "b")}).replace("a" * 300, "a" * 300 + more)
    (tmp_path / "x.json").write_text(f"[{', '.join([row] * 10_000)}]")
    began = time.process_time()
    assert len([*read_conversations(tmp_path / "x.json")]) == 10_000
    assert time.process_time() - began < 5


def test_many_keys_of_which_the_last_stands_twice_are_one_line_at_once(tmp_path: Path):
    keys = [*(f"k{i}" for i in range(100_000)), "k99999"]
    (tmp_path / "x.jsonl").write_text("{" + ", ".join(f'"{key}": 1' for key in keys) + "}")
    began = time.process_time()
    with pytest.raises(ValueError, match=r"x\.jsonl:1: the key 'k99999' stands twice"):
        [*read_conversations(tmp_path / "x.jsonl")]
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "column",
    [
        pyarrow.array([-62135596801], pyarrow.timestamp("s")),
        pyarrow.array([-86399999913601], pyarrow.timestamp("s")),
        pyarrow.array([-86399999913601], pyarrow.duration("s")),
        pyarrow.array([-62135683200000], pyarrow.int64()).cast(pyarrow.date64()),
        pyarrow.array([-(2**63)], pyarrow.time64("ns")),
    ],
    ids=str,
)
def test_a_date_that_is_none_is_one_line(tmp_path: Path, column: pyarrow.Array):
    parquet.write_table(pyarrow.table({"user": column}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet: cannot be read as Parquet"):
        [*read_conversations(tmp_path / "x.parquet")]


@pytest.mark.parametrize("system", [[], ["a"], 3, 0, {"a": 1}, b"a", True])
def test_a_system_column_of_anything_but_text_is_one_line(tmp_path: Path, system: object):
    table = pyarrow.table({"system": [system], "user": ["a"], "assistant": ["b"]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet:1: message 0 \(system\) has no text"):
        [*read_conversations(tmp_path / "x.parquet")]


def test_a_damaged_page_is_one_line_with_the_files_name(tmp_path: Path):
    whole = written(tmp_path, "x.parquet", ASKED).read_bytes()
    (tmp_path / "x.parquet").write_bytes(b"{" + whole)
    with pytest.raises(ValueError, match=r"x\.parquet: cannot be read as Parquet"):
        [*read_conversations(tmp_path / "x.parquet")]


def test_a_parquet_without_conversations_tells_its_first_row(tmp_path: Path):
    pandas.DataFrame({"text": ["x"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet:1: no list `messages`"):
        [*read_conversations(tmp_path / "x.parquet")]


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        [*read_conversations(tmp_path / "none.jsonl")]


def test_a_role_that_is_not_expected_is_named(tmp_path: Path):
    path = written(tmp_path, "x.jsonl", ASKED)
    assert len([*read_conversations(path, ["user", "assistant"])]) == 3
    with pytest.raises(ValueError, match=r"x\.jsonl:1: a message of role user; .* are assistant"):
        [*read_conversations(path, ["assistant"])]


def test_an_answer_that_holds_code_is_named_where_none_is_said_to(tmp_path: Path):
    program = "import os\nprint(os.getcwd())"  # in the second row an answer, not the last one
    rows = [
        messages(program, "It says in which folder you are."),
        [
            *messages("Write it.", f"So:\n\n```python\n{program}\n```"),
            *messages("What is it for?", "It prints your folder."),
        ],
    ]
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"messages": row}) + "\n" for row in rows]
    path.write_text("".join(lines))
    assert len([*read_conversations(path)]) == 2
    told = r"x\.jsonl:2: the answer holds code; datasets\.<id>\.prose says that none does; remove"
    with pytest.raises(ValueError, match=told):
        [*read_conversations(path, prose=True)]
    path.write_text(lines[0])
    assert len([*read_conversations(path, ["user", "assistant"], prose=True)]) == 1


@pytest.mark.parametrize("value", [7, 0])
def test_a_column_of_a_role_that_holds_no_text_is_one_line(tmp_path: Path, value: int):
    path = tmp_path / "x.parquet"
    pandas.DataFrame([{"system": value, "user": "a", "assistant": "b"}]).to_parquet(path)
    with pytest.raises(ValueError, match=r"x.parquet:1: message 0 \(system\) has no text"):
        [*read_conversations(path)]
