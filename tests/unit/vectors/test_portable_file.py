"""Files of vectors that come from elsewhere: read as they were written, or one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from traitdrift.core.files import save_tensors
from traitdrift.inference.hooks import HOOK_POINT
from traitdrift.vectors.file import load_vectors, read_vectors

UNIT = torch.eye(3, 4)
TENSORS = {
    "prompt_last/mean_diff": UNIT,
    "prompt_last/mean_diff.threshold": torch.zeros(3),
    "prompt_last/positive.mean": torch.ones(3, 4),
    "prompt_last/negative.mean": -torch.ones(3, 4),
    "prompt_last/residual.norm": torch.ones(3),
}
DESCRIBED = {
    "kind": "vectors",
    "trait": "warmth",
    "model": "tiny",
    "base_digest": "0" * 64,
    "answers": "given",
    "hook_point": HOOK_POINT,
    "layer_origin": 0,
    "chosen": {"position": "prompt_last", "method": "mean_diff", "layer": 1},
}
KEY = "prompt_last/mean_diff"


def test_a_whole_file_is_read(tmp_path: Path):
    save_tensors(tmp_path / "warmth.safetensors", TENSORS, DESCRIBED)
    assert load_vectors(tmp_path / "warmth.safetensors").layer == 1


@pytest.mark.parametrize(
    ("tensors", "described"),
    [
        ({KEY: torch.eye(1, 4)[0]}, {}),
        ({KEY: torch.zeros(0, 4)}, {}),
        ({KEY: UNIT * 2}, {}),
        ({KEY: UNIT * torch.nan}, {}),
        ({KEY: UNIT.int()}, {}),
        ({KEY: UNIT.bool()}, {}),
        ({KEY: UNIT.to(torch.complex64)}, {}),
        ({KEY: UNIT.to(torch.float8_e4m3fn)}, {}),
        ({"prompt_last/residual.norm": -torch.ones(3)}, {}),
        ({"prompt_last/residual.norm": torch.zeros(3)}, {}),
        ({f"{KEY}.threshold": torch.zeros(2)}, {}),
        ({"prompt_last/positive.mean": torch.ones(4, 3)}, {}),
        ({"prompt_last/residual.norm": torch.ones(3) * torch.inf}, {}),
        ({"prompt_last/other": torch.eye(4, 4)}, {}),
        ({}, {"layer_origin": 1}),
        ({}, {"layer_origin": [0]}),
        ({}, {"hook_point": None}),
        ({}, {"trait": ["x"]}),
        ({}, {"trait": "a\x1b[2J"}),
        ({}, {"model": None}),
        ({}, {"base_digest": 7}),
        ({}, {"answers": {}}),
        ({}, {"kind": []}),
        ({}, {"schema_version": 9}),
        ({}, {"schema_version": "1"}),
        ({}, {"chosen": []}),
        ({}, {"chosen": "prompt_last"}),
        ({}, {"chosen": {"position": ["prompt_last"], "method": "mean_diff", "layer": 1}}),
        ({}, {"chosen": {"position": "prompt_last", "method": "mean_diff", "layer": "1"}}),
        ({}, {"chosen": {"position": "prompt_last", "method": "mean_diff", "layer": 3}}),
        ({}, {"chosen": {"position": "prompt_last", "method": "mean_diff", "layer": -1}}),
    ],
)
def test_a_damaged_file_is_one_line(tensors: dict, described: dict, tmp_path: Path):
    path = tmp_path / "warmth.safetensors"
    metadata = json.dumps({"schema_version": 1, **DESCRIBED, **described})
    save_file({**TENSORS, **tensors}, path, {"traitdrift": metadata})
    with pytest.raises(ValueError) as told:
        load_vectors(path)
    line = str(told.value)
    assert str(path) in line and "\n" not in line and "\x1b" not in line and len(line) < 500


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{", "[" * 50_000, '"x"'])
def test_a_damaged_description_is_one_line(text: str, tmp_path: Path):
    save_file(TENSORS, tmp_path / "x.safetensors", {"traitdrift": text})
    with pytest.raises(ValueError, match="its description is damaged"):
        read_vectors(tmp_path / "x.safetensors")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v)
)
KEYS = st.sampled_from([*DESCRIBED, "schema_version"])
SHAPES = st.lists(st.integers(0, 4), max_size=3)
DTYPES = st.sampled_from([torch.float32, torch.int64, torch.bool, torch.bfloat16])
NAMES = st.sampled_from([*TENSORS, "", "a", "prompt_last/", "/", "x.y", "x.mean"])


@given(
    st.dictionaries(KEYS, VALUES, max_size=2),
    st.dictionaries(NAMES, st.tuples(SHAPES, DTYPES), max_size=2),
    st.sets(KEYS, max_size=1),
    st.sets(NAMES, max_size=1),
)
def test_any_description_and_shapes_are_read_or_one_line(
    tmp_path: Path, described, tensors, undescribed, gone
):
    path = tmp_path / "x.safetensors"
    made = {**DESCRIBED, **described}
    held = {**TENSORS, **{n: torch.ones(s, dtype=d) for n, (s, d) in tensors.items()}}
    for key in undescribed:
        made.pop(key, None)
    for name in gone:
        held.pop(name, None)
    save_file(held, path, {"traitdrift": json.dumps(made)})
    try:
        assert load_vectors(path).unit.norm() == pytest.approx(1, abs=0.01)
    except ValueError as error:
        assert "\n" not in str(error)
