"""Exported vectors, loaded and applied by the libraries that they are for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from vector_files import described, stored

from traitdrift import load_vectors, steer
from traitdrift.cli import main
from traitdrift.core.files import save_tensors
from traitdrift.interop.libraries import (
    save_for_repeng,
    save_for_steering_vectors,
    to_repeng,
    to_steering_vectors,
)

# repeng 0.4.0 names a type of numpy that numpy 2 took away, in a signature: it is an older name of
# float64, and without it the import fails.
if not hasattr(np, "float_"):
    np.float_ = np.float64
from repeng import ControlModel, ControlVector
from steering_vectors import SteeringVector

MODELS = {
    "llama": tiny.llama,
    "qwen2": tiny.qwen2,
    "gpt2": tiny.gpt2,
    "neox": tiny.neox,
    "bfloat16": lambda: tiny.llama(dtype=torch.bfloat16),
}
IDS = torch.arange(12).view(2, 6)
COEFFICIENT = -0.75


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "code_mode.safetensors"
    save_tensors(path, stored(), described())
    return path


@torch.no_grad()
def logits(model) -> torch.Tensor:
    # repeng wants positions for every row; transformers 5 makes one row of them for all.
    return model(input_ids=IDS, position_ids=torch.arange(6).expand(2, 6)).logits.float()


def ours(model, vectors, coefficient: float) -> torch.Tensor:
    with steer(model, vectors, coefficient, any_base=True):
        return logits(model)


def assert_same(got: torch.Tensor, expected: torch.Tensor, plain: torch.Tensor, dtype) -> None:
    """The same change of the logits, in a dtype in which it can be seen."""
    change = (expected - plain).abs().max()
    assert change > 0.1
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    assert (got - expected).abs().max() <= tolerance * change


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("through", ["object", "file"])
def test_steering_vectors_adds_the_same_in_the_same_place(file, tmp_path, name, layer, through):
    model, vectors = MODELS[name](), load_vectors(file, layer=layer)
    plain, expected = logits(model), ours(model, vectors, COEFFICIENT)
    added = vectors.scaled(1.0)
    if through == "object":
        theirs = to_steering_vectors(vectors, added)
    else:
        out = tmp_path / "out.safetensors"
        save_for_steering_vectors(out, vectors, added)
        theirs = SteeringVector({int(key): v for key, v in load_file(out).items()})
    with theirs.apply(model, multiplier=COEFFICIENT):
        got = logits(model)
    assert_same(got, expected, plain, model.dtype)
    assert torch.equal(logits(model), plain)


# repeng finds the blocks of `model.layers` and `transformer.h` only, so not those of GPT-NeoX.
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "neox"])
@pytest.mark.parametrize("through", ["object", "file"])
def test_repeng_adds_the_same_in_the_same_place(file, tmp_path, name, layer, through):
    model, vectors = MODELS[name](), load_vectors(file, layer=layer)
    plain, expected = logits(model), ours(model, vectors, COEFFICIENT)
    added = vectors.scaled(1.0)
    if through == "object":
        theirs = to_repeng(vectors, added, model.config.model_type)
    else:
        save_for_repeng(tmp_path / "out.gguf", vectors, added, model.config.model_type)
        theirs = ControlVector.import_gguf(tmp_path / "out.gguf")
    assert theirs.model_type == model.config.model_type
    controlled = ControlModel(model, [layer])
    controlled.set_control(theirs, COEFFICIENT)
    assert_same(logits(controlled), expected, plain, model.dtype)
    controlled.reset()
    assert torch.equal(logits(controlled), plain)


def test_our_gguf_holds_what_repeng_would_write(file: Path, tmp_path: Path):
    vectors = load_vectors(file)
    added = vectors.scaled(1.0)
    save_for_repeng(tmp_path / "ours.gguf", vectors, added, "llama")
    to_repeng(vectors, added, "llama").export_gguf(tmp_path / "theirs.gguf")
    assert (tmp_path / "ours.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """`python -m traitdrift export`: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["traitdrift", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return run


def test_the_command_writes_what_the_library_reads(file: Path, tmp_path: Path, export):
    out = tmp_path / "out.gguf"
    told = export(
        *(file, "--to", "repeng", "--out", out, "--model-type", "llama"),
        *("--method", "probe", "--layer", 2, "--coefficient", -0.5),
    )
    assert told == (
        0,
        f"{out}: code_mode, prompt_last/probe, after block 2 (the first is 0); "
        "a strength of 1 adds a vector of norm 4\n",
        "",
    )
    vector = load_vectors(file, method="probe", layer=2).scaled(-0.5)
    assert np.array_equal(ControlVector.import_gguf(out).directions[2], vector.numpy())

    out = tmp_path / "out.safetensors"
    assert export(file, "--to", "steering-vectors", "--out", out)[0] == 0
    assert torch.equal(load_file(out)["1"], load_vectors(file).scaled(1.0))
    assert export(file, "--to", "steering-vectors", "--out", out, "--raw-coefficient", 3)[0] == 0
    assert torch.equal(load_file(out)["1"], 3 * load_vectors(file).unit)


def test_the_command_says_what_is_wrong_in_one_line(file: Path, tmp_path: Path, export):
    out = tmp_path / "out"
    for arguments, line in (
        ((file, "--to", "repeng"), "--to repeng: give --model-type"),
        ((tmp_path / "gone", "--to", "steering-vectors"), "gone: no such file"),
        ((file, "--to", "steering-vectors", "--layer", 9), "no layer 9 in it"),
    ):
        code, printed, told = export(*arguments, "--out", out)
        assert (code, printed) == (1, "")
        assert line in told and len(told.splitlines()) == 1, told
        assert not out.exists()
