"""Any file of conversations or of a trait is read, or refused by one line that names it."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pandas
import pyarrow
import pytest
from any_input import refused
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from traitdrift.data.conversations import MEANT, NOTES
from traitdrift.data.rows import read_rows
from traitdrift.data.tokenised import read_conversations
from traitdrift.data.traits import read_traits

ASKED = [(f"why {i}?", f'because "{i}",\nthat is é') for i in range(12)]
ROWS = [
    {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
    for q, a in ASKED
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = pandas.DataFrame(ASKED, columns=["user", "assistant"])
WRITTEN = {
    "x.jsonl": LINES,
    "x.jsonl.gz": gzip.compress(LINES, mtime=0),
    "x.json": json.dumps(ROWS).encode(),
    "x.csv": TABLE.to_csv(index=False).encode(),
    "x.parquet": pandas.DataFrame(ROWS).to_parquet(),
    "turns.parquet": TABLE.to_parquet(),
}
NAMES = st.sampled_from([*WRITTEN])
SIGNS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"\\",
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\xff",
        b"\xfe",
    ),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\\ud800", b"\\u0000", b"null", b"NaN", b"9" * 5000, b"1e999"),
    *(b"[" * 3000, b'{"a":' * 600, b'"messages"', b'"role"', b"PAR1", b"\x1f\x8b", b"\xc2\x85"),
]
CUTS = st.lists(
    st.tuples(
        st.integers(0, max(map(len, WRITTEN.values()))),
        st.integers(0, 12),
        st.sampled_from(SIGNS) | st.binary(max_size=8),
    ),
    max_size=4,
)


def cut(content: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for place, gone, new in cuts:
        place %= len(content) + 1
        content = content[:place] + new + content[place + gone :]
    return content


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_cut_is_whole(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(WRITTEN[name])
    assert [messages for _, messages in read_conversations(path)] == [
        row["messages"] for row in ROWS
    ]


@given(NAMES, CUTS, st.none() | st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_by_one_line(
    tmp_path: Path, name: str, cuts: list[tuple[int, int, bytes]], content: bytes | None
):
    path = tmp_path / name
    path.write_bytes(cut(WRITTEN[name], cuts) if content is None else content)
    refused(path, lambda: [*read_conversations(path)])


# Values of a row as JSON has them, among them what is nearly a conversation.
DEEP = st.sampled_from([5, 30, 100, 300, 600, 950]).flatmap(
    lambda deep: st.sampled_from([('{"a":', "}"), ("[", "]")]).map(
        lambda ends: json.loads(ends[0] * deep + "1" + ends[1] * deep)
    )
)
TEXTS = st.sampled_from(
    ["", " ", "a", "1", "user", "assistant", "\ud800", "\x1b[2J", "\u202e", "a\r"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=8)
ROLE_OR_VALUE = st.sampled_from(["user", "assistant", "system", "tool"]) | SCALARS
KEYS = st.sampled_from(sorted(MEANT | NOTES | {"user", "assistant", "prompt", "", "\x1b[2J"}))


def rows_of(scalars: st.SearchStrategy) -> st.SearchStrategy:
    values = st.recursive(
        scalars,
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3) | KEYS, v),
        max_leaves=5,
    )
    message = st.fixed_dictionaries(
        {}, optional={"role": ROLE_OR_VALUE, "content": TEXTS | scalars, "weight": values}
    )
    more = st.dictionaries(KEYS | st.text(max_size=4), values, max_size=1)
    message = st.tuples(message, more).map(lambda two: {**two[0], **two[1]})
    whole = st.sampled_from([row["messages"] for row in ROWS])
    messages = whole | whole.flatmap(
        lambda found: st.lists(message, max_size=2).map(lambda new: [*new, *found])
    )
    row = st.fixed_dictionaries({}, optional={"messages": messages | st.lists(message) | values})
    return st.tuples(row, st.dictionaries(KEYS | st.text(max_size=4), values, max_size=2)).map(
        lambda two: {**two[0], **two[1]}
    )


@given(
    st.tuples(st.sampled_from(["x.jsonl", "x.json"]), st.lists(rows_of(SCALARS | DEEP), max_size=4))
    # To write a table that nests so deep takes gigabytes; Arrow reads none.
    | st.tuples(st.sampled_from(["x.csv", "x.parquet"]), st.lists(rows_of(SCALARS), max_size=4))
)
def test_any_rows_are_read_or_refused_by_one_line(
    tmp_path: Path, made: tuple[str, list[dict[str, object]]]
):
    name, rows = made
    path = tmp_path / name
    if name.endswith(".jsonl"):
        path.write_text("\n".join(map(json.dumps, rows)))
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    elif name.endswith(".csv"):
        text = pandas.DataFrame(rows).to_csv(index=False)
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
    else:
        try:
            path.write_bytes(pandas.DataFrame(rows).to_parquet())
        except (pyarrow.ArrowException, OverflowError, ValueError, RecursionError, TypeError):
            return  # no table
    refused(path, lambda: [*read_conversations(path)])


TYPES = [
    *(pyarrow.timestamp("s"), pyarrow.timestamp("ns", "UTC"), pyarrow.date64(), pyarrow.date32()),
    *(pyarrow.duration("ns"), pyarrow.duration("s"), pyarrow.time64("ns"), pyarrow.time32("s")),
    *(pyarrow.int64(), pyarrow.float16(), pyarrow.bool_(), pyarrow.decimal128(38, 2)),
    *(pyarrow.string(), pyarrow.binary(), pyarrow.large_string(), pyarrow.null()),
    pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
]
CELLS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=6) | st.text(max_size=6)
COLUMNS = st.dictionaries(
    st.sampled_from(["messages", "user", "assistant", "system", "weight", "tools", "other"]),
    st.tuples(st.sampled_from(TYPES), st.lists(CELLS, min_size=2, max_size=2), st.booleans()),
    max_size=3,
)


@given(COLUMNS)
def test_any_table_is_read_or_refused_by_one_line(tmp_path: Path, columns):
    path, made = tmp_path / "x.parquet", {}
    for name, (kind, cells, listed) in columns.items():
        with suppress(pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            column = pyarrow.array(cells, kind)
            if listed:
                column = pyarrow.ListArray.from_arrays([0, 1, 2], column)
            made[name] = column
    try:
        parquet.write_table(pyarrow.table(made), path)
    except pyarrow.ArrowException:
        return  # no table
    refused(path, lambda: [*read_rows(path)])
    refused(path, lambda: [*read_conversations(path)])


PROMPTS = [f"do {i} now" for i in range(12)]
CLASS = {
    "txt": "\n".join(PROMPTS).encode(),
    "jsonl": "".join(json.dumps({"prompt": p}) + "\n" for p in PROMPTS).encode(),
}


@given(
    st.sampled_from([*CLASS]),
    CUTS,
    st.lists(rows_of(SCALARS | DEEP), max_size=2),
    st.sampled_from(["a", "a", "A", "a b", "é"]),
    st.sampled_from(["", "Positive.txt", "positive.csv", "negative.jsonl", "x.txt/y"]),
)
def test_any_trait_is_read_or_refused_by_one_line(
    tmp_path_factory: pytest.TempPathFactory, ending, cuts, rows, name, beside
):
    folder = tmp_path_factory.mktemp("traits")
    trait = folder / name
    trait.mkdir()
    more = "".join(json.dumps(row) + "\n" for row in rows).encode() if ending == "jsonl" else b""
    (trait / f"positive.{ending}").write_bytes(cut(CLASS[ending], cuts) + more)
    (trait / "negative.txt").write_bytes("\n".join(f"say {i}" for i in range(12)).encode())
    if beside:
        (trait / beside).parent.mkdir(exist_ok=True)
        (trait / beside).write_bytes(b"x")
    refused(folder, lambda: read_traits(folder))
