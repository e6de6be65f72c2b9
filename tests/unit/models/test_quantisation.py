"""Bases in 4 and 8 bits: their digest, and what is refused. tests/backends uses them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from traitdrift.core.files import write_json
from traitdrift.models import quantisation
from traitdrift.models.loading import VARIANT_RECORD, base_record, load_model


def test_each_way_to_quantise_is_another_base():
    digests = {quantisation.digest("abc", way) for way in ("none", "4bit", "8bit")}
    assert len(digests) == 3 and quantisation.digest("abc", "none") == "abc"
    assert quantisation.digest("abd", "4bit") not in digests


def test_a_config_tells_how_it_is_quantised():
    config = tiny.llama().config
    assert quantisation.of_config(config) == "none"
    nested = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    for settings, way in (
        ({"load_in_8bit": True}, "8bit"),
        ({"load_in_4bit": True, **nested}, "4bit"),
        ({"load_in_4bit": True, **nested, "bnb_4bit_quant_type": "fp4"}, "otherwise (None)"),
        ({"quant_method": "gptq"}, "otherwise (gptq)"),
    ):
        config.quantization_config = settings
        assert quantisation.of_config(config) == way


def test_without_bitsandbytes_one_line_names_the_extra(tmp_path: Path):
    base = tiny.quantised(tiny.save_base(tmp_path / "base"), "4bit")
    with pytest.raises(ValueError, match=r"^quantise: 4bit: .* extra \[bitsandbytes\]") as told:
        load_model(base)
    assert "\n" not in str(told.value)


def test_an_adapter_over_the_whole_base_is_refused_over_the_quantised_one(tmp_path: Path):
    base = tiny.save_base(tmp_path / "base")
    whole = base_record(base)["digest"]
    tiny.quantised(base, "4bit")
    write_json(tmp_path / "tuned" / VARIANT_RECORD, {"kind": "finetune", "base_digest": whole})
    with pytest.raises(ValueError, match="made for a base of digest"):
        load_model(base, tmp_path / "tuned")
