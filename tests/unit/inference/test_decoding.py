"""A step of decoding reads keys and values where they lie, and gives what transformers gives."""

from __future__ import annotations

import architectures
import pytest
import tiny
import torch

from traitdrift.inference import decoding
from traitdrift.inference.attention import attending
from traitdrift.inference.batching import padded
from traitdrift.inference.decoding import grouped_attention, roomy_cache

PROMPTS = [list(range(5 + n, 8 + 5 * n)) for n in range(4)]
GROUPED = ("qwen2", "qwen3", "llama", "phi3", "mixtral", "qwen3_moe", "olmo2")


@torch.inference_mode()
@pytest.mark.parametrize("family", architectures.ALL)
def test_logits_are_those_of_transformers(family: str, monkeypatch):
    """Over more steps than a cache has room for at first."""
    monkeypatch.setattr(decoding, "ROOM", 8)
    model = architectures.network(
        architectures.config_of(family, 100, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    )
    ids, mask = padded(PROMPTS, 0, left=True)
    options = {
        "input_ids": ids,
        "attention_mask": mask,
        "max_new_tokens": 20,
        "min_new_tokens": 20,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    expected = model.generate(**options)
    cache = roomy_cache(model)
    with attending(model, grouped_attention):
        found = model.generate(**options, **({"past_key_values": cache} if cache else {}))
    assert model.config._attn_implementation == "sdpa" or family in ("gpt_oss", "mamba")
    assert torch.equal(found.sequences, expected.sequences)
    for one, other in zip(found.logits, expected.logits, strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_rows_are_taken_from_a_cache_with_its_room():
    cache = roomy_cache(tiny.llama())
    keys = torch.arange(3 * 2 * 5 * 4.0).view(3, 2, 5, 4)
    for layer in cache.layers:
        layer.update(keys, keys)
    cache.batch_select_indices(torch.tensor([2, 0, 0]))
    more = torch.ones(3, 2, 1, 4)
    for layer in cache.layers:
        found, _ = layer.update(more, more)
        assert torch.equal(found, torch.cat([keys[[2, 0, 0]], more], dim=2))
    assert cache.get_seq_length() == 6
    assert layer.store[0].shape[2] == decoding.ROOM
