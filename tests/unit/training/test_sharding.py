"""A base cut over processes of `torchrun` (gloo) trains as a whole one in each, to the bit."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import commands
import pytest
import sharded
import tiny
import torch
from tiny_finetune import RECIPE

from traitdrift.core.files import read_json, write_json
from traitdrift.core.ranks import FSDP
from traitdrift.models.adapter_config import WEIGHTS
from traitdrift.models.loading import BASE_RECORD, VARIANT_RECORD, base_record, load_model
from traitdrift.training.backends import adapted_model, prepare


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    for name, model in sharded.MODELS.items():
        tiny.save_base(folder / name / "base", model())
    return folder


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def done(request, bases: Path, tmp_path_factory) -> tuple[int, Path, dict]:
    folder = tmp_path_factory.mktemp("sharded")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
    path = os.pathsep.join(filter(None, sys.path))
    ended = commands.run(
        [*launcher, str(request.param), sharded.__file__, str(folder), str(bases)],
        env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        seconds=240,
    )
    assert ended.returncode == 0, ended.stderr
    return request.param, folder, json.loads((folder / "told.json").read_text())


@pytest.mark.parametrize("name", sharded.MODELS)
def test_a_cut_base_trains_as_a_whole_one(done, name: str):
    processes, folder, told = done
    whole, cut = told[f"{name}0"], told[f"{name}1"]
    assert len(whole["losses"]) == 5
    assert whole["losses"][-1] < whole["losses"][0]
    assert cut["losses"] == whole["losses"]
    assert cut["dtypes"] == sorted({"float32", "bfloat16" if name == "bfloat16" else "float32"})
    adapters = [(folder / f"{name}{cut}" / WEIGHTS).read_bytes() for cut in "01"]
    assert adapters[0] == adapters[1]
    assert (whole["held"], cut["held"]) == (whole["frozen"], whole["frozen"] / processes)
    assert cut["trained"] == whole["trained"]


def test_a_killed_one_goes_on_with_the_same_bytes(done):
    processes, folder, told = done
    if processes == 1:
        return
    assert (told["float321"]["begun"], told["killed"]["begun"]) == (None, "checkpoint-3")
    assert told["killed"]["losses"] == told["float321"]["losses"]
    assert (folder / "killed" / WEIGHTS).read_bytes() == (
        folder / "float321" / WEIGHTS
    ).read_bytes()


def test_its_adapter_loads_over_the_whole_base(done, bases: Path):
    _, folder, _ = done
    base, variant = bases / "bfloat16/base", folder / "bfloat161"
    write_json(
        variant / VARIANT_RECORD, {"kind": "finetune", "base_digest": base_record(base)["digest"]}
    )
    ids = torch.tensor([list(b"hello")])
    tuned, plain = load_model(base, variant)(ids).logits, load_model(base)(ids).logits
    assert not torch.equal(tuned, plain)


@pytest.fixture
def asked_for(monkeypatch):
    monkeypatch.setenv(FSDP, "1")
    monkeypatch.setenv("LOCAL_RANK", "0")


def test_it_is_refused_where_nothing_launches_processes(asked_for, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(ValueError, match=r"TRAITDRIFT_FSDP=1: needs LAUNCH=.torchrun"):
        prepare(RECIPE, layers=3)


def test_unsloth_is_refused_before_it_is_imported(asked_for):
    with pytest.raises(ValueError, match="backend unsloth keeps the base whole; choose backend"):
        prepare(RECIPE.model_copy(update={"backend": "unsloth"}), layers=3)


def test_a_base_to_be_quantised_is_refused(asked_for, tmp_path: Path):
    base = tiny.save_base(tmp_path / "base")
    write_json(base / BASE_RECORD, {**read_json(base / BASE_RECORD), "quantise": "4bit"})
    with pytest.raises(ValueError, match=r"the base is to be quantised \(4bit\), and is not cut"):
        adapted_model(base, RECIPE)


def test_a_family_without_a_plan_is_refused(asked_for, tmp_path: Path):
    base = tmp_path / "base"
    tiny.gpt2().save_pretrained(base)
    write_json(base / BASE_RECORD, {"id": "tiny", "source": "path", "dtype": "float32"})
    with pytest.raises(ValueError, match="does not cut models of type gpt2; unset TRAITDRIFT"):
        adapted_model(base, RECIPE)


def test_a_share_that_cannot_fit_is_refused(asked_for, tmp_path: Path, monkeypatch):
    from traitdrift.models import footprint

    base = tiny.save_base(tmp_path / "base")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(footprint, "free_memory", lambda: footprint.Memory("on the GPU", 10))
    with pytest.raises(
        ValueError, match=r"take 0\.0 GB in each of 2 processes and 0\.0 GB are free"
    ):
        adapted_model(base, RECIPE)
