from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from traitdrift.core.files import (
    load_tensors,
    read_tables,
    save_tensors,
    weights_digest,
    write_json,
)
from traitdrift.core.writing import replacing


def test_tensors_come_back_with_their_description_and_the_same_bytes(tmp_path: Path):
    tensors = {"b/y": torch.randn(2, 3), "a/x": torch.ones(2, dtype=torch.bfloat16)}
    described = {"trait": "refusal", "layers": [1, 2], "nested": {"z": 1, "a": None}}
    for name in ("one", "two"):
        save_tensors(tmp_path / name, tensors, dict(reversed(described.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded, description = load_tensors(tmp_path / "one")
    assert all(torch.equal(loaded[key], value) for key, value in tensors.items())
    assert description == {"schema_version": 1, **described}


def test_a_file_of_another_program_is_refused(tmp_path: Path):
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="no trait-drift description"):
        load_tensors(tmp_path / "x.safetensors")


def test_a_failure_keeps_what_was_there(tmp_path: Path):
    write_json(tmp_path / "m.json", {"a": 1})
    with pytest.raises(RuntimeError), replacing(tmp_path / "m.json") as scratch:
        scratch.write_text("half")
        raise RuntimeError
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        write_json(tmp_path / "m.json", {"a": float("nan")})
    assert (tmp_path / "m.json").read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]


def test_the_digest_is_of_the_tensors_not_of_how_they_are_packed(tmp_path: Path):
    a, b = torch.randn(3, 4), torch.arange(5)
    save_file({"a": a, "b": b}, tmp_path / "whole.safetensors", {"made": "by"})
    save_file({"b": b}, tmp_path / "1.safetensors")
    save_file({"a": a}, tmp_path / "2.safetensors")
    whole = weights_digest([tmp_path / "whole.safetensors"])
    assert weights_digest([tmp_path / "1.safetensors", tmp_path / "2.safetensors"]) == whole
    save_file({"a": a.reshape(4, 3), "b": b}, tmp_path / "other.safetensors")
    assert weights_digest([tmp_path / "other.safetensors"]) != whole
    (tmp_path / "broken.safetensors").write_bytes(b"not a safetensors file at all")
    with pytest.raises(ValueError, match="damaged"):
        weights_digest([tmp_path / "broken.safetensors"])


def test_several_tables_are_read_as_one_with_the_origin_of_each_row(tmp_path):
    (tmp_path / "a.csv").write_text("trait,value\nnull,\nNA,2\n")
    (tmp_path / "b.csv").write_text("trait,value\n")
    table = read_tables(["a", "b"], f"{tmp_path}/{{}}.csv", "who")
    assert table["who"].tolist() == ["a", "a"] and table["trait"].tolist() == ["null", "NA"]
    assert table["value"].isna().tolist() == [True, False]
    assert list(read_tables(["b"], f"{tmp_path}/{{}}.csv").columns) == ["variant", "trait", "value"]
    assert list(read_tables([], "{}.csv").columns) == ["variant"]
