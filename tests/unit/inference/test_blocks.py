"""The decoder blocks of models that have other lists of modules beside them or within."""

from __future__ import annotations

import architectures
import pytest
import tiny
import torch

from traitdrift.inference.hooks import after_blocks, blocks, stream_of


def config(family: str):
    return architectures.config_of(family, 258, eos_token_id=257, pad_token_id=257)


@pytest.mark.parametrize("family", architectures.ALL)
def test_the_blocks_of_a_family_are_as_many_as_its_layers(family: str):
    model = architectures.network(config(family))
    layers = model.config.get_text_config().num_hidden_layers
    seen: list[tuple[int, torch.Size]] = []
    with after_blocks(model, lambda layer, stream: seen.append((layer, stream.shape))):
        model(torch.tensor([[5, 6, 7]]))
    assert len(blocks(model)) == layers
    assert seen == [(layer, (1, 3, 32)) for layer in range(layers)]


def test_a_vision_tower_of_as_many_layers_is_not_taken_for_the_decoder():
    model = architectures.network(config("gemma3_multimodal"))
    towers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == 2
    ]
    assert len(towers) == 2
    assert blocks(model) is model.get_decoder().layers


def test_a_list_within_a_block_is_part_of_it():
    model = tiny.llama()
    for block in model.model.layers:
        block.experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    assert blocks(model) is model.model.layers


def test_two_lists_side_by_side_are_not_guessed_between():
    model = tiny.llama()
    model.model.others = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    with pytest.raises(ValueError, match="2 lists of 3 blocks, not one"):
        blocks(model)


def test_several_streams_side_by_side_are_refused():
    """As Gemma 3n has them: [stream, sequence, token, hidden]."""
    with pytest.raises(ValueError, match=r"writes \[4\] streams side by side, not one"):
        stream_of(torch.zeros(4, 1, 3, 32))
    assert stream_of((torch.zeros(1, 3, 32), None)).shape == (1, 3, 32)
