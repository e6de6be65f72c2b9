"""What a model weighs is what its files hold, and what cannot fit is refused before it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import qwen
import tiny

from traitdrift.core.files import read_json, write_json
from traitdrift.models import footprint
from traitdrift.models.completeness import weight_files
from traitdrift.models.loading import load_model, pretrained

GB = 10**9


@pytest.mark.parametrize("make", [tiny.llama, tiny.qwen2, tiny.gpt2, tiny.neox])
def test_weights_are_what_the_files_hold(tmp_path: Path, make):
    model = make()
    model.save_pretrained(tmp_path)
    (file,) = weight_files(tmp_path)
    header = int.from_bytes(file.read_bytes()[:8], "little")
    held = file.stat().st_size - 8 - header
    assert footprint.weights_size(footprint.outline(model.config), "float32") == held


def test_the_study_s_models_weigh_what_is_known_of_them():
    network = footprint.outline(qwen.config("Qwen/Qwen2.5-Coder-32B-Instruct"))
    assert footprint.weights_size(network, "bfloat16") == 65_527_752_704
    # 31.2 of the 32.8 thousand millions lie in the blocks' linear layers.
    assert footprint.weights_size(network, "bfloat16", "4bit") == pytest.approx(19.2 * GB, rel=0.01)
    assert footprint.weights_size(network, "bfloat16", "8bit") == pytest.approx(34.3 * GB, rel=0.01)


def huge(base: Path) -> Path:
    """A base whose config claims a width that no machine holds."""
    config = read_json(base / "config.json")
    write_json(base / "config.json", {**config, "hidden_size": 2**20, "num_hidden_layers": 512})
    return base


def test_what_cannot_fit_is_refused_before_anything_is_read(tmp_path: Path):
    base = huge(tiny.save_base(tmp_path / "base"))
    for file in weight_files(base):
        file.unlink()  # nobody looks
    with pytest.raises(ValueError) as told:
        load_model(base)
    line = str(told.value)
    assert line.startswith(f"{base}: its weights take ") and " GB are free " in line
    assert "quantise: 4bit" in line and "TRAITDRIFT_ANY_SIZE=1" in line and "\n" not in line


def test_a_variable_lets_everything_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = huge(tiny.save_base(tmp_path / "base"))
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base)
    with pytest.raises(ValueError, match="its weights take"):
        footprint.refuse_oversized("huge", config, "float32", "none")
    monkeypatch.setenv("TRAITDRIFT_ANY_SIZE", "1")
    footprint.refuse_oversized("huge", config, "float32", "none")


def test_weights_stored_in_a_way_not_known_here_are_not_judged(tmp_path: Path):
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(huge(tiny.save_base(tmp_path / "base")))
    config.quantization_config = {"quant_method": "gptq", "bits": 4}
    footprint.refuse_oversized("huge", config, "float32", "none")


def test_what_fits_is_loaded(tmp_path: Path):
    tiny.llama().save_pretrained(tmp_path)
    assert pretrained(str(tmp_path), "float32").dtype.itemsize == 4
    assert footprint.free_memory().free > 0 and footprint.free_ram() > 0


def test_a_control_group_s_limit_counts_and_its_cached_files_do_not(tmp_path: Path):
    assert footprint.limits(tmp_path) == []
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("7000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\nfile 6000\n")
    assert footprint.limits(tmp_path) == []
    (tmp_path / "memory.max").write_text("9000\n")
    assert footprint.limits(tmp_path) == [9000 - 7000 + 6000]
