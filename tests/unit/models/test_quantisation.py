"""Bases in 4 and 8 bits: their digest, and the whole of what is done with them, on a CPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny
import torch
from datasets import Dataset
from peft import PeftModel

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.core.files import read_json, write_json
from traitdrift.generation.sampling import SamplingRequest, generate
from traitdrift.interop.fingerprint import base_digest
from traitdrift.models import footprint, quantisation
from traitdrift.models.chat import IGNORED
from traitdrift.models.loading import VARIANT_RECORD, base_record, keep_adapter, load_model
from traitdrift.training.backends import adapted_model
from traitdrift.training.lora import finetune
from traitdrift.training.settings import Lora, Recipe

installed = find_spec("bitsandbytes") is not None
with_it = pytest.mark.skipif(not installed, reason="bitsandbytes is not installed")


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


@pytest.mark.skipif(installed, reason="bitsandbytes is installed")
def test_without_bitsandbytes_one_line_names_the_extra(tmp_path: Path):
    base = quantised(tiny.save_base(tmp_path / "base"), "4bit")
    with pytest.raises(ValueError, match=r"^quantise: 4bit: .* extra \[bitsandbytes\]") as told:
        load_model(base)
    assert "\n" not in str(told.value)


def test_an_adapter_over_the_whole_base_is_refused_over_the_quantised_one(tmp_path: Path):
    base = tiny.save_base(tmp_path / "base")
    whole = base_record(base)["digest"]
    quantised(base, "4bit")
    write_json(tmp_path / "tuned" / VARIANT_RECORD, {"kind": "finetune", "base_digest": whole})
    with pytest.raises(ValueError, match="made for a base of digest"):
        load_model(base, tmp_path / "tuned")


def quantised(base: Path, way: str) -> Path:
    """The folder as `base_model` leaves it for such an entry of `models`."""
    record = read_json(base / "base.json")
    digest = quantisation.digest(record["digest"], way)
    write_json(base / "base.json", {**record, "quantise": way, "digest": digest})
    return base


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """4 bits need rows of 64."""
    return tiny.save_base(
        tmp_path_factory.mktemp("wide") / "base", tiny.llama(hidden=64, dtype=torch.bfloat16)
    )


@with_it
@pytest.mark.parametrize("way", ["4bit", "8bit"])
def test_a_quantised_base_is_read_asked_and_trained(wide: Path, tmp_path: Path, way: str):
    base = tmp_path / "base"
    base.mkdir()
    for file in wide.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    quantised(base, way)
    whole, model = load_model(wide), load_model(base)
    config, footing = model.config, model.get_memory_footprint()
    assert quantisation.of_config(config) == way
    assert base_digest(model) == base_record(base)["digest"] != base_record(wide)["digest"]
    said = footprint.weights_size(footprint.outline(whole.config), "bfloat16", way)
    assert said == pytest.approx(footing, rel=0.1)

    read = [
        TokenizedConversation(
            name="x", ids=list(b"hello"), tokens={"prompt_last": [4], "prompt_mean": [1, 2]}
        )
    ]
    streams, plain = (capture(one, read, 257, 64) for one in (model, whole))
    for position, stream in streams.items():
        cosine = torch.cosine_similarity(stream.float(), plain[position].float(), dim=-1)
        assert stream.shape == (1, 3, 64) and (cosine > 0.8).all()
    assert len(generate(model, [SamplingRequest(list(b"hello"))], 4, 257, 64)[0]) >= 1

    recipe = Recipe(
        backend="peft",
        lora=Lora(
            r=4,
            alpha=8.0,
            rank_stabilised=True,
            dropout=0.0,
            targets=["q_proj", "up_proj"],
            layers=None,
        ),
        learning_rate=5e-2,
        schedule="linear",
        warmup_steps=1,
        weight_decay=0.0,
        optimizer="adamw_torch",
        batch_size=4,
        gradient_accumulation=1,
        group_by_length=False,
        gradient_checkpointing=False,
        epochs=1.0,
        max_steps=12,
        max_tokens=64,
        seed=0,
    )
    row = {"input_ids": list(b"ask: x = 1"), "labels": [IGNORED] * 5 + list(b"x = 1")}
    adapted = adapted_model(base, recipe)
    losses = finetune(
        adapted, Dataset.from_list([row] * 48), recipe, tiny.tokenizer(), str(tmp_path)
    )
    assert losses[-1] < 0.9 * losses[0]
    adapted.save_pretrained(tmp_path / "saved")
    keep_adapter(tmp_path / "saved", tmp_path / "tuned", "tiny")
    digest = base_record(base)["digest"]
    write_json(tmp_path / "tuned" / VARIANT_RECORD, {"kind": "finetune", "base_digest": digest})
    loaded, ids = load_model(base, tmp_path / "tuned"), torch.tensor([list(b"hello")])
    assert isinstance(loaded, PeftModel) and base_digest(loaded) == digest
    with torch.no_grad():
        same = torch.cosine_similarity(loaded(ids).logits, adapted.eval()(ids).logits, dim=-1)
    assert (same > 0.99).all()
