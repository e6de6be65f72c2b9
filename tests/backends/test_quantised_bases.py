"""Bases in 4 and 8 bits by bitsandbytes, on a CPU: read, asked and trained over.

`make test-unsloth` runs this, for bitsandbytes comes with Unsloth.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from datasets import Dataset
from peft import PeftModel
from tiny_finetune import RECIPE

from traitdrift.activations.capture import capture
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.core.files import write_json
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.interop.fingerprint import base_digest
from traitdrift.models import footprint, quantisation
from traitdrift.models.adapter import keep_adapter
from traitdrift.models.chat import IGNORED
from traitdrift.models.from_files import outline
from traitdrift.models.loading import VARIANT_RECORD, base_record, load_model
from traitdrift.training.backends import adapted_model
from traitdrift.training.lora import finetune


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """4 bits need rows of 64."""
    return tiny.save_base(
        tmp_path_factory.mktemp("wide") / "base", tiny.llama(hidden=64, dtype=torch.bfloat16)
    )


@pytest.mark.parametrize("way", ["4bit", "8bit"])
def test_a_quantised_base_is_read_asked_and_trained(wide: Path, tmp_path: Path, way: str):
    base = tmp_path / "base"
    base.mkdir()
    for file in wide.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    tiny.quantised(base, way)
    whole, model = load_model(wide), load_model(base)
    config, footing = model.config, model.get_memory_footprint()
    assert quantisation.of_config(config) == way
    assert base_digest(model) == base_record(base)["digest"] != base_record(wide)["digest"]
    said = footprint.weights_size(outline(whole.config), "bfloat16", way)
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

    recipe = RECIPE.model_copy(
        update={"group_by_length": False, "gradient_accumulation": 1, "max_steps": 12}
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
