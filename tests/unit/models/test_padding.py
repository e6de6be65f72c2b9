"""An answer does not depend on what stands beside it: families that read padding are refused."""

from __future__ import annotations

from pathlib import Path

import architectures
import pytest
import torch
import transformers

from traitdrift.inference.batching import padded
from traitdrift.models.from_files import READING_PADDING, config_of

PROMPTS = [list(range(40, 60)), [50, 51, 52]]
SMALL = {"vocab_size": 258, "hidden_size": 32, "num_hidden_layers": 2, "eos_token_id": 2}
REFUSED = {
    "rwkv": lambda: transformers.RwkvConfig(**SMALL),
    "doge": lambda: transformers.DogeConfig(
        **SMALL, intermediate_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=8
    ),
}


def moved_by_padding(network) -> float:
    """How far the logits behind a short prompt lie from those without padding before it."""
    ids, mask = padded(PROMPTS, 2, left=True)
    places = {"input_ids": ids, "attention_mask": mask}
    inputs = network.prepare_inputs_for_generation(**places, use_cache=False)
    with torch.no_grad():
        beside = network(**inputs).logits[1, -1]
        alone = network(torch.tensor(PROMPTS[1:]), use_cache=False).logits[0, -1]
    return float((beside - alone).abs().max() / alone.abs().max())


@pytest.mark.parametrize("family", architectures.ALL)
def test_a_family_does_not_see_padding(family: str):
    ids = {"eos_token_id": 2, "pad_token_id": 2}
    network = architectures.network(architectures.config_of(family, 258, **ids))
    assert moved_by_padding(network) < 1e-4


@pytest.mark.parametrize("family", READING_PADDING)
def test_one_that_does_is_refused(family: str, tmp_path: Path):
    config = REFUSED[family]()
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"transformers' {family} reads padding as text"):
        config_of(tmp_path)
    # When transformers mends it, this fails, and the family is taken off the list.
    assert moved_by_padding(architectures.network(config)) > 1e-2
