"""What is longer than the model's window is refused before it is forwarded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tiny
import torch

from traitdrift.activations.capture import capture, capture_means
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.models.window import refuse_longer, window
from traitdrift.steering.generation import generate_steered, log_probabilities
from traitdrift.steering.interventions import Intervention

ROOM = 512


def never(*_arguments: object) -> None:
    raise AssertionError("forwarded")


@pytest.fixture(params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest):
    made = getattr(tiny, request.param)()
    for module in made.modules():
        module.register_forward_pre_hook(never)
    return made


def long(tokens: int) -> TokenizedConversation:
    return TokenizedConversation([1] * tokens, {"prompt_last": [tokens - 1]}, "a long prompt")


def test_capture_refuses_a_long_prompt_by_name(model):
    with pytest.raises(
        ValueError, match="'a long prompt' takes 513 tokens, and the model reads 512"
    ):
        capture(model, [long(4), long(513)], 0, 4096)
    with pytest.raises(ValueError, match="takes 513 tokens"):
        capture_means(model, [long(4), long(513)], [[[0, 1]]], 0, 4096)


@pytest.mark.parametrize(("tokens", "answer"), [(513, 1), (512, 2), (500, 14), (1, 513)])
def test_generation_leaves_room_for_the_answer(model, tokens: int, answer: int):
    asked = [SamplingRequest([1] * tokens, 0.0, "0|what|x|0")]
    with pytest.raises(ValueError, match=rf"'0\|what\|x\|0' takes {tokens} tokens and {answer} to"):
        generate(model, asked, answer, 0, 4096)
    what, direction = [Intervention("none", "none")], torch.ones(32)
    with pytest.raises(ValueError, match="and the model reads 512; shorten it or lower max_tokens"):
        generate_steered(model, asked, what, 1, "all", direction, answer, 0, 4096)


def test_texts_of_the_log_probability_are_named_by_their_number(model):
    with pytest.raises(ValueError, match="'text 2' takes 600 tokens"):
        log_probabilities(model, [[1] * 3, [1] * 600], [Intervention("none", "none")], 1, 0, 4096)


def test_what_fits_to_the_last_token_is_answered():
    model = tiny.gpt2()
    [answer] = generate(model, [SamplingRequest([1] * 509)], 4, 0, 4096)
    assert 1 <= len(answer) <= 4
    assert capture(model, [long(512)], 0, 4096)["prompt_last"].isfinite().all()


@pytest.mark.parametrize(
    ("named", "room"),
    [
        ({"max_position_embeddings": 7}, 7),
        ({"max_seq_len": 9}, 9),
        ({"max_position_embeddings": None, "n_positions": 5}, 5),
        ({"max_position_embeddings": -1}, None),
        ({}, None),
    ],
)
def test_a_window_is_what_the_config_names(named: dict, room: int | None):
    text = SimpleNamespace(**named)
    config = SimpleNamespace(get_text_config=lambda: text)
    assert window(config) == room
    boundless = SimpleNamespace(config=config)
    if room is None:
        refuse_longer(boundless, [("x", 10**9, 1)])
